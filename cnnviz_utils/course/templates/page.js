// Figures open large: by click, or by Enter where they have the focus.
const box = document.querySelector("body > dialog.zoom");
const large = box.appendChild(document.createElement("img"));
for (const image of document.querySelectorAll(".notebook .output img")) {
  const open = () => {
    large.src = image.src;
    large.alt = image.alt;
    box.showModal();
    // as large as the window; on a phone larger than that, to be moved about
    const wish = Math.max(box.clientWidth - 32, 960);
    large.style.width = `${Math.max(image.clientWidth, Math.min(wish, 2 * image.naturalWidth))}px`;
  };
  image.tabIndex = 0;
  image.setAttribute("role", "button");
  image.setAttribute("aria-label", `${image.alt} (open large)`);
  image.addEventListener("click", open);
  image.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      open();
    }
  });
}
box.addEventListener("click", () => box.close());
// On paper everything is open; browsers that know ::details-content do it by style.
const folded = () => document.querySelectorAll("details:not([open])");
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...folded()];
  for (const part of opened) part.open = true;
});
window.addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
});
