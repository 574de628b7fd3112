"""The built-in data set, against independent facts: bits, pixels, counts, and classifiers that must not succeed."""

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from cnnviz_utils.data import cache
from cnnviz_utils.data.drawn import menagerie, source_plans
from cnnviz_utils.data.drawn.animals import fit, paint
from cnnviz_utils.data.drawn.backgrounds import BACKGROUNDS, PLACES
from cnnviz_utils.data.drawn.bodies import NEUTRAL
from cnnviz_utils.data.drawn.drawing import (
    cover,
    ellipse,
    new_canvas,
    pieces,
    polygon,
    stroke,
)
from cnnviz_utils.data.drawn.looks import Dice, throw_look
from cnnviz_utils.data.drawn.menagerie import (
    COATS,
    PARTS,
    REALMS,
    SPECIES,
    MenagerieConfig,
    draw,
    draw_animal,
    gallery,
    realm_of,
    redraw,
)
from cnnviz_utils.data.drawn.scenes import PLANS

SMALL = MenagerieConfig(train=3, valid=1, test=2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path / "cache"))


def same(a, b) -> bool:
    return (np.array_equal(a.image, b.image) and np.array_equal(a.parts, b.parts)
            and (a.label, a.info) == (b.label, b.info))


# ---- distances

def test_distances_against_points_on_the_outline():
    """Every distance equals the distance to the nearest of many points on the outline (ellipse: near the edge)."""
    y, x = (np.arange(40, dtype=np.float32) + 0.5)[:, None], (np.arange(40, dtype=np.float32) + 0.5)[None]
    grid = np.stack(np.broadcast_arrays(x, y), -1).reshape(-1, 1, 2)
    nearest = lambda points: np.linalg.norm(grid - points[None], axis=-1).min(1).reshape(40, 40)
    t = np.linspace(0, 1, 700)[:, None]

    line = np.array([(8, 10, 3), (25, 14, 3), (22, 33, 3)], np.float32)
    axis = np.concatenate([line[i, :2] * (1 - t) + line[i + 1, :2] * t for i in range(2)])
    np.testing.assert_allclose(stroke(line, pieces(line), x, y), nearest(axis) - 3, atol=0.02)

    star = np.array([(5, 5, 2), (30, 8, 2), (18, 18, 2), (33, 34, 2), (8, 30, 2), (5, 5, 2)], np.float32)
    edge = np.concatenate([star[i, :2] * (1 - t) + star[i + 1, :2] * t for i in range(5)])
    inside = Outline(star[:, :2]).contains_points(grid[:, 0]).reshape(40, 40)
    signed = np.where(inside, -1, 1) * nearest(edge)
    np.testing.assert_allclose(polygon(star, pieces(star), x, y), signed - 2, atol=0.02)

    turn = np.radians(30)
    major, minor = 14 * np.array((np.cos(turn), np.sin(turn))), 7 * np.array((-np.sin(turn), np.cos(turn)))
    knots = np.array([(20, 20, 0), (*(20 + major), 0), (*(20 + minor), 0)], np.float32)
    rim = 20 + np.cos(2 * np.pi * t) * major + np.sin(2 * np.pi * t) * minor
    found, true = ellipse(knots, None, x, y), nearest(rim)
    close = true < 1
    np.testing.assert_allclose(np.abs(found[close]), true[close], atol=0.12)
    assert abs(cover(found).sum() - np.pi * 14 * 7) < 2      # the covered area is the ellipse's


# ---- what there is

def test_twenty_seven_species_nine_a_realm():
    assert len(set(SPECIES)) == 27
    assert [realm_of(s) for s in SPECIES] == [realm for realm in REALMS for _ in range(9)]
    assert {"neck", "claws", "face", "arms"} <= {p for s in ("giraffe", "crab", "owl", "starfish") for p in PARTS[s]}


def test_part_names_do_not_depend_on_the_pose():
    for name, plan in PLANS.items():
        for seed in range(3):
            pose = NEUTRAL._replace(bend=1 - seed, phase=seed / 3, jitter=tuple(np.linspace(-1, 1, 16) * (seed - 1)))
            assert {shape.part for shape in plan(pose)} == set(PARTS[name])
            assert plan.__name__ == name


@pytest.mark.parametrize("size", [32, 64, 97, 224])
def test_every_species_at_every_size(size):
    for drawing in gallery(size, seed=1):
        assert drawing.image.shape == (size, size, 3) and drawing.image.dtype == np.uint8
        assert drawing.parts.shape == (size, size) and drawing.parts.dtype == np.uint8
        assert 0.03 < drawing.mask.mean() < 0.75
        assert drawing.parts.max() <= len(PARTS[drawing.info["species"]])
        assert drawing.image.std() > 10


def test_the_same_animal_at_every_size():
    """Twice the pixels, the same picture: averaged down, the mask agrees but for its rim."""
    for species in SPECIES:
        small, large = draw_animal(species, 64, seed=3).mask, draw_animal(species, 128, seed=3).mask
        halved = large.reshape(64, 2, 64, 2).mean((1, 3)) >= 0.5
        assert (small != halved).sum() < 0.15 * small.sum() + 8


# ---- bits

def test_random_access_same_bits_in_any_order_and_in_a_fresh_process():
    config = replace(SMALL, shortcut=0.5)
    order = np.random.default_rng(0).permutation(81)[:30].tolist()
    forward = {i: draw(config, "train", i) for i in sorted(order)}
    assert all(same(forward[i], draw(config, "train", i)) for i in order)
    code = """if True:
        import hashlib, sys
        from cnnviz_utils.data.drawn.menagerie import MenagerieConfig, draw
        config = MenagerieConfig(train=3, valid=1, test=2, shortcut=0.5)
        for i in sys.argv[1:]:
            print(hashlib.sha256(draw(config, "train", int(i)).image.tobytes()).hexdigest())"""
    out = subprocess.run([sys.executable, "-c", code, *map(str, order[:5])], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [hashlib.sha256(forward[i].image.tobytes()).hexdigest() for i in order[:5]]


def test_no_two_pictures_alike():
    config = replace(SMALL, train=5, valid=5, test=5)
    seen = {draw(config, split, i).image.tobytes() for split in ("train", "valid", "test") for i in range(27 * 5)}
    assert len(seen) == 3 * 27 * 5
    assert not same(draw(config, "train", 0), draw(replace(config, seed=1), "train", 0))


def test_counts_change_no_animal():
    few, many = SMALL, replace(SMALL, train=9, tail=2.0)
    a, b = draw(few, "train", 3 * 4 + 2), draw(many, "train", sum(many.counts("train")[:4]) + 2)
    assert np.array_equal(a.image, b.image) and a.info["species"] == b.info["species"] == SPECIES[4]


def test_realm_labels_change_no_picture():
    for i in (0, 40, 80):
        species, realm = draw(SMALL, "train", i), draw(replace(SMALL, label="realm"), "train", i)
        assert np.array_equal(species.image, realm.image)
        assert REALMS[realm.label] == realm_of(SPECIES[species.label])


def test_what_is_chosen_changes_nothing_else():
    plain = draw_animal("lion", seed=5)
    for changed in (draw_animal("lion", seed=5, background="night"), draw_animal("lion", seed=5, coat="stripes")):
        same_pose = ("rotation", "scale", "flip", "bend", "phase", "x", "y", "colour")
        assert [changed.info[k] for k in same_pose] == [plain.info[k] for k in same_pose]
    assert np.array_equal(draw_animal("lion", seed=5, coat="stripes", clutter=False).parts,
                          draw_animal("lion", seed=5, coat="spots", clutter=False).parts)
    left = draw_animal("lion", seed=5, flip=True, rotation=0, clutter=False).mask
    right = draw_animal("lion", seed=5, flip=False, rotation=0, clutter=False).mask
    assert abs(left.sum() - right.sum()) < 0.03 * left.sum()


# ---- masks against pixels

@pytest.mark.parametrize("species", SPECIES)
def test_mask_is_where_the_animal_changes_the_picture(species):
    """Drawn without the animal, the picture differs inside the mask, and outside it only on the soft edge."""
    for seed in range(3):
        there = draw_animal(species, seed=seed, noise=False)
        gone = draw_animal(species, seed=seed, noise=False, hide=PARTS[species])
        assert gone.parts.max() == 0
        differs = np.abs(there.image.astype(int) - gone.image.astype(int)).max(2) > 0
        grown = np.zeros_like(differs)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                grown |= np.roll(there.mask, (dy, dx), (0, 1))
        beyond = differs & ~grown
        assert beyond.sum() <= 0.05 * there.mask.sum()       # thin ends cover less than half of their pixels
        assert (there.mask & differs).sum() >= 0.97 * there.mask.sum()


def test_hide_leaves_every_other_pixel_alone():
    for species in ("giraffe", "crab", "owl", "elephant"):
        whole = draw_animal(species, seed=2, clutter=False)
        for part in PARTS[species]:
            without = draw_animal(species, seed=2, clutter=False, hide=(part,))
            k = PARTS[species].index(part) + 1
            assert not (without.parts == k).any()
            alone = draw_animal(species, seed=2, clutter=False, hide=[p for p in PARTS[species] if p != part])
            nothing = draw_animal(species, seed=2, clutter=False, hide=PARTS[species])
            # what the part touches: where it alone changes the empty picture, and its own decals on others
            touched = (alone.image != nothing.image).any(2) | (whole.parts == k)
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    touched = touched | np.roll(whole.parts == k, (dy, dx), (0, 1))
            assert np.array_equal(whole.image[~touched], without.image[~touched])
            assert np.array_equal(whole.parts[~touched], without.parts[~touched])
    i = SPECIES.index("giraffe") * 3
    assert np.array_equal(redraw(SMALL, "train", i).image, draw(SMALL, "train", i).image)
    assert not np.array_equal(redraw(SMALL, "train", i, hide=("neck",)).image, draw(SMALL, "train", i).image)


def test_front_things_leave_the_animal_visible():
    infos = [draw(SMALL, "train", i).info for i in range(81)]
    occluded = [info["visible"] for info in infos if info["occluded"]]
    assert 0.2 < len(occluded) / len(infos) < 0.5
    assert min(occluded) > 0.6 and min(occluded) < 0.99
    assert all(info["visible"] == 1 for info in infos if not info["occluded"])


# ---- counts, tail, shortcut

def test_counts_and_tail():
    assert MenagerieConfig().counts("train") == (60,) * 27
    tailed = MenagerieConfig(train=100, tail=20)
    counts = np.sort(tailed.counts("train"))[::-1]
    expected = 100 * 20 ** (-np.arange(27) / 26)            # exponential, largest over smallest = 20
    np.testing.assert_allclose(counts, expected, atol=0.5)
    assert tailed.counts("test") == (20,) * 27
    assert tailed.counts("train") != replace(tailed, seed=1).counts("train")


def test_shortcut_is_how_often_the_place_is_the_realms_own():
    own = {place: realm for realm, places in PLACES.items() for place in places}

    def agreement(shortcut: float, split: str = "train", **kw) -> float:
        config = MenagerieConfig(size=32, train=15, test=15, valid=1, shortcut=shortcut, **kw)
        infos = [draw(config, split, i).info for i in range(27 * 15)]
        return float(np.mean([own[info["background"]] == info["realm"] for info in infos]))

    assert agreement(1.0) == 1.0
    assert abs(agreement(0.0) - 1 / 3) < 0.075               # three standard errors of 405 throws
    assert abs(agreement(0.6) - (0.6 + 0.4 / 3)) < 0.075
    assert abs(agreement(1.0, "test", test_shortcut=0.0) - 1 / 3) < 0.075
    kept, moved = draw(replace(SMALL, shortcut=1.0), "train", 7).info, draw(SMALL, "train", 7).info
    assert kept["x"] == moved["x"] and kept["colour"] == moved["colour"]


def test_all_places_and_coats_occur():
    infos = [draw(replace(SMALL, size=32), "train", i).info for i in range(81)]
    assert {info["background"] for info in infos} == set(BACKGROUNDS)
    assert {info["coat"] for info in infos} == set(COATS)


# ---- source plans

def outline(name: str, flip: bool = False) -> np.ndarray:
    canvas = new_canvas(64)
    paint(canvas, fit(PLANS[name](NEUTRAL), 64, 0, 0.95, flip, (0, 0)), PARTS[name],
          throw_look(Dice([0.5] * 20), None, None), (0, 0))
    return canvas.parts > 0


def test_source_plans_are_many_and_disjoint_from_the_species_in_name_and_shape():
    assert len(set(source_plans.NAMES)) == 48 and not set(source_plans.NAMES) & set(SPECIES)
    overlap = lambda a, b: (a & b).sum() / (a | b).sum()
    known = {name: outline(name) for name in SPECIES}
    invented = [outline(name, flip) for name in source_plans.NAMES for flip in (False, True)]
    closest = max(overlap(shape, other) for shape in invented for other in known.values())
    among = max(overlap(known[a], known[b]) for i, a in enumerate(SPECIES) for b in SPECIES[:i])
    assert closest < 0.75 and closest < among      # no plan is as near to a species as two species are to each other
    splits = menagerie.menagerie(MenagerieConfig(size=32, train=1, valid=1, test=1, plans="source"))
    assert splits.classes == source_plans.NAMES and splits.name == "menagerie_source"


# ---- cache

def test_cache_equals_drawing_and_is_read_only():
    splits = menagerie.menagerie(SMALL)
    for name, data in (("train", splits.train), ("valid", splits.valid), ("test", splits.test)):
        for i in range(0, len(data), 7):
            drawing = draw(SMALL, name, i)
            assert np.array_equal(data.images[i], drawing.image.transpose(2, 0, 1))
            assert np.array_equal(data.parts[i], drawing.parts)
            assert int(data.labels[i]) == drawing.label and data.info[i] == drawing.info
            assert data.paths[i] == f"{name}/{i}"
    pixels = splits.train.images.array  # looked through to by `Rows`
    assert isinstance(pixels, np.memmap) and not pixels.flags.writeable
    assert splits.fingerprint != menagerie.menagerie(replace(SMALL, seed=1)).fingerprint


def test_second_call_draws_nothing(monkeypatch):
    first = menagerie.menagerie(SMALL)
    monkeypatch.setattr(menagerie, "draw", lambda *_: pytest.fail("drawn again"))
    assert menagerie.menagerie(SMALL).fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", ["missing", "torn", "flipped", "empty"])
def test_damaged_cache_is_drawn_again(tmp_path, damage):
    good = np.array(menagerie.menagerie(SMALL).train.images)
    folder = next((tmp_path / "cache").glob("menagerie-*"))
    file = folder / "train-images.npy"
    raw = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "torn":
        file.write_bytes(raw[: len(raw) // 2])
    elif damage == "flipped":
        raw[-1000] ^= 255
        file.write_bytes(raw)
    else:
        (folder / "splits.json").write_text("")
    assert np.array_equal(menagerie.menagerie(SMALL).train.images, good)
    assert left(tmp_path / "cache") == [folder.name]     # nothing lying about


def left(folder) -> list[str]:
    """What lies in a folder, locks apart."""
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def test_interrupted_writer_leaves_nothing(tmp_path, monkeypatch):
    def stop(config, split, index, real=draw):
        if split == "test":
            raise KeyboardInterrupt
        return real(config, split, index)
    monkeypatch.setattr(menagerie, "draw", stop)
    with pytest.raises(KeyboardInterrupt):
        menagerie.menagerie(SMALL)
    assert left(tmp_path / "cache") == []


def test_concurrent_writers_agree(tmp_path):
    def make(value):
        yield "train", {"images": np.full((200, 3, 32, 32), value, np.uint8)}, [{"value": 1}] * 200
    found, folder = [], tmp_path / "shared"
    threads = [Thread(target=lambda: found.append(cache.cached_arrays(folder, lambda: make(7)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and all((parts[0][1]["images"] == 7).all() for parts in found)
    assert left(tmp_path) == ["shared"]


def test_of_concurrent_writers_one_works_and_the_others_wait(tmp_path):
    made, found, folder = [], [], tmp_path / "shared"

    def make():
        made.append(1)
        time.sleep(0.3)
        yield "train", {"images": np.zeros((2, 3, 4, 4), np.uint8)}, [{}] * 2
    threads = [Thread(target=lambda: found.append(cache.cached_arrays(folder, make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(made) == 1


def test_the_cache_follows_the_drawing_code(monkeypatch):
    places = []
    monkeypatch.setattr(menagerie, "cached_arrays", lambda place, make: places.append(place) or [])
    for code in (menagerie._code_fingerprint, lambda: "other code"):
        monkeypatch.setattr(menagerie, "_code_fingerprint", code)
        with pytest.raises(TypeError):  # no sets
            menagerie.menagerie(SMALL)
    assert len(set(places)) == 2  # drawn again, where the code is another
    code = "import sys, cnnviz_utils.data.drawn.scenes; print(*(n for n in sys.modules if 'cnnviz_utils.data.drawn.' in n))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    needed = {name.rpartition(".")[2] for name in out}      # whatever a picture is drawn with
    assert {"drawing", "species_air"} <= needed <= set(menagerie._CODE)


def test_info_is_json():
    info = draw(SMALL, "test", 11).info
    assert json.loads(json.dumps(info)) == info


# ---- colour must not give the species away

def test_colour_histograms_stay_under_forty_percent():
    splits = menagerie.menagerie(MenagerieConfig(train=30, valid=1, test=10))

    def histogram(data) -> np.ndarray:
        level = (np.asarray(data.images) >> 5).astype(int)
        cells = (level[:, 0] * 64 + level[:, 1] * 8 + level[:, 2]).reshape(len(data), -1)
        return np.stack([np.bincount(row, minlength=512) for row in cells]) / cells.shape[1]

    x, y = histogram(splits.train), splits.train.labels.numpy()
    tx, ty = histogram(splits.test), splits.test.labels.numpy()
    assert LogisticRegression(C=10, max_iter=400).fit(np.sqrt(x), y).score(np.sqrt(tx), ty) < 0.4
    assert RandomForestClassifier(100, random_state=0).fit(x, y).score(tx, ty) < 0.4


# ---- bad input

@pytest.mark.parametrize(("setting", "message"), [
    ({"size": 16}, "size must be a whole number from 32 to 224"), ({"size": 64.0}, "size must be a whole number"),
    ({"train": 0}, "train must be"), ({"seed": -1}, "seed must be"), ({"tail": 0.5}, "tail must be a number of at least 1"),
    ({"shortcut": 1.5}, "shortcut must be a number from 0 to 1"), ({"test_shortcut": -1}, "test_shortcut must be"),
    ({"label": "colour"}, "label must be one of species, realm"), ({"plans": "x"}, "plans must be"),
    ({"seed": True}, "seed must be"), ({"tail": 99.0}, "tail must be at most train, 60"), ({"shortcut": float("nan")}, "shortcut must be"),
])
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        MenagerieConfig(**setting)


def test_bad_requests():
    with pytest.raises(KeyError, match="no species 'unicorn'"):
        draw_animal("unicorn")
    with pytest.raises(ValueError, match=r"giraffe has no part 'trunk'; its parts: .*neck"):
        draw_animal("giraffe", hide=("trunk",))
    with pytest.raises(ValueError, match="no background 'mars'; choose one of meadow"):
        draw_animal("giraffe", background="mars")
    with pytest.raises(ValueError, match="bend must be from -1 to 1"):
        draw_animal("giraffe", bend=3)
    with pytest.raises(IndexError, match="train has images 0 to 80, not 81"):
        draw(SMALL, "train", 81)
    with pytest.raises(KeyError, match="no split 'exam'"):
        draw(SMALL, "exam", 0)
