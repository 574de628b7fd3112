"""Three realms: which classes of Caltech-101 and Caltech-256 live on land, in water or
in the air."""

# The three-realms project's classes, in Caltech-101 and in Caltech-256. A turtle and an
# iris stand in "air", a bat and a frog in "land": that is how the source had it, and
# lesson 01 shows it as an exhibit on label quality.
# fmt: off
REALMS_101 = {
    "air": ("butterfly", "dragonfly", "emu", "flamingo", "flamingo_head", "ibis",
            "mayfly", "pigeon", "rooster"),
    "land": ("Leopards", "dalmatian", "elephant", "hedgehog", "kangaroo", "llama",
            "okapi", "panda", "rhino"),
    "water": ("bass", "crab", "crayfish", "dolphin", "hawksbill", "lobster", "nautilus",
            "octopus", "starfish"),
}
REALMS_256 = {
    "air": ("114.ibis-101", "100.hawksbill-101", "113.hummingbird", "049.cormorant",
            "060.duck", "089.goose", "118.iris", "151.ostrich", "152.owl"),
    "land": ("007.bat", "009.bear", "028.camel", "038.chimp", "056.dog",
            "064.elephant-101", "065.elk", "080.frog", "084.giraffe"),
    "water": ("106.horseshoe-crab", "052.crab-101", "048.conch", "057.dolphin-101",
            "087.goldfish", "124.killer-whale", "148.mussels", "150.octopus",
            "201.starfish-101"),
}
# fmt: on
