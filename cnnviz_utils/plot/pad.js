// A picture that answers: painted on, a square dragged over it, or a cell of a table chosen.
// By keyboard: arrows move; while painting, the space bar puts the brush down and up.
const SIDE = 320;

function asImage(model) {
  const [height, width] = model.get("size");
  const bytes = model.get("picture");
  const small = new OffscreenCanvas(width, height);
  const pixels = new Uint8ClampedArray(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  small.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return small;
}

function makeCanvas(el, width, height, label) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.tabIndex = 0;
  canvas.className = "cnnviz-pad";
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", label);
  el.append(canvas);
  return canvas;
}

// where the pointer is, in pixels of the canvas
function at(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onArrows(canvas, move) {
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    event.stopPropagation();
    move(...ARROWS[event.key]);
  });
}

function drag(canvas, begin, go, end = () => {}) {
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    begin(...at(canvas, event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) go(...at(canvas, event));
  });
  canvas.addEventListener("pointerup", end);
}

// at most one message in `wait` milliseconds, and always the last
function throttled(send, wait = 120) {
  let last = 0;
  let waiting = null;
  return () => {
    clearTimeout(waiting);
    const rest = last + wait - Date.now();
    waiting = setTimeout(() => { last = Date.now(); send(); }, Math.max(0, rest));
  };
}

function renderDraw(model, el) {
  const [height, width] = model.get("size");
  const canvas = makeCanvas(el, SIDE, SIDE * height / width, "A picture to paint on: arrows move the brush, space puts it down and up");
  const pen = canvas.getContext("2d");
  const start = asImage(model);
  const small = new OffscreenCanvas(width, height);
  let place = [SIDE / 2, canvas.height / 2];
  let down = false;
  let paint = model.get("paints")[0];
  const tools = document.createElement("div");
  tools.className = "cnnviz-tools";
  el.append(tools);
  const send = throttled(() => {
    const shrink = small.getContext("2d", { willReadFrequently: true });
    shrink.imageSmoothingQuality = "high";
    shrink.drawImage(canvas, 0, 0, width, height);
    model.set("picture", new DataView(shrink.getImageData(0, 0, width, height).data.buffer));
    model.set("value", [model.get("value")[0] + 1]);
    model.save_changes();
  });
  const reset = () => {
    pen.imageSmoothingEnabled = true;
    pen.drawImage(start, 0, 0, canvas.width, canvas.height);
  };
  const line = (x, y) => {
    pen.strokeStyle = paint;
    pen.lineWidth = Number(brush.value);
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...place);
    pen.lineTo(x, y + 0.01);
    pen.stroke();
    place = [x, y];
    send();
  };
  for (const colour of model.get("paints")) {
    const button = document.createElement("button");
    button.style.background = colour;
    button.title = button.ariaLabel = `paint ${colour}`;
    button.addEventListener("click", () => {
      paint = colour;
      for (const other of tools.querySelectorAll("button")) other.classList.toggle("chosen", other === button);
    });
    tools.append(button);
  }
  tools.querySelector("button").classList.add("chosen");
  const brush = document.createElement("input");
  Object.assign(brush, { type: "range", min: 4, max: 60, value: 22, title: "brush", ariaLabel: "size of the brush" });
  const clear = document.createElement("button");
  clear.className = "words";
  clear.textContent = "Start again";
  clear.addEventListener("click", () => { reset(); send(); });
  tools.append(brush, clear);
  reset();
  drag(canvas, (x, y) => { place = [x, y]; line(x, y); }, line);
  onArrows(canvas, (dx, dy) => {
    const next = [Math.min(canvas.width, Math.max(0, place[0] + 8 * dx)), Math.min(canvas.height, Math.max(0, place[1] + 8 * dy))];
    if (down) line(...next);
    place = next;
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    down = !down;
    if (down) line(...place);
  });
}

function renderDrag(model, el) {
  const [height, width] = model.get("size");
  const canvas = makeCanvas(el, SIDE, SIDE * height / width, "An image with a square over it: arrows move the square");
  const pen = canvas.getContext("2d");
  const image = asImage(model);
  const scale = canvas.width / width;
  const send = throttled(() => model.save_changes());
  const show = () => {
    const [y, x, side] = model.get("value");
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    pen.fillStyle = "#808080";
    pen.fillRect(x * scale, y * scale, side * scale, side * scale);
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.strokeRect(x * scale, y * scale, side * scale, side * scale);
  };
  const put = (y, x) => {
    const side = model.get("value")[2];
    const inside = (value, most) => Math.round(Math.min(most - side, Math.max(0, value)));
    model.set("value", [inside(y, height), inside(x, width), side]);
    show();
    send();
  };
  const under = (x, y) => put(y / scale - model.get("value")[2] / 2, x / scale - model.get("value")[2] / 2);
  drag(canvas, under, under);
  const step = Math.max(1, Math.round(width / 32));
  onArrows(canvas, (dx, dy) => put(model.get("value")[0] + step * dy, model.get("value")[1] + step * dx));
  show();
}

function renderCells(model, el) {
  const [height, width] = model.get("size");
  const cells = model.get("cells");
  const most = Math.max(1, ...cells.flatMap((row, r) => row.filter((_, c) => r !== c || height !== width)));
  const unit = Math.max(14, Math.min(40, Math.floor(460 / Math.max(height, width))));
  const canvas = makeCanvas(el, width * unit, height * unit, "A table: arrows choose a cell");
  const said = document.createElement("p");
  said.className = "cnnviz-said";
  said.setAttribute("aria-live", "polite");
  el.append(said);
  const pen = canvas.getContext("2d");
  const words = ([row, column]) => `row ${model.get("rows")[row]}, column ${model.get("columns")[column]}: ${cells[row][column]}`;
  const show = () => {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    cells.forEach((row, r) => row.forEach((count, c) => {
      pen.fillStyle = `rgba(0, 88, 140, ${count ? 0.15 + 0.85 * Math.min(1, count / most) : 0.03})`;
      pen.fillRect(c * unit + 1, r * unit + 1, unit - 1, unit - 1);
    }));
    const [row, column] = model.get("value");
    pen.strokeStyle = "#d55e00";
    pen.lineWidth = 3;
    pen.strokeRect(column * unit, row * unit, unit, unit);
    said.textContent = words(model.get("value"));
  };
  const choose = (row, column) => {
    model.set("value", [Math.min(height - 1, Math.max(0, row)), Math.min(width - 1, Math.max(0, column))]);
    model.save_changes();
    show();
  };
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(canvas, event).map((value) => Math.floor(value / unit));
    if (cells[y]?.[x] !== undefined) canvas.title = words([y, x]);
  });
  canvas.addEventListener("pointerdown", (event) => {
    const [x, y] = at(canvas, event).map((value) => Math.floor(value / unit));
    choose(y, x);
  });
  onArrows(canvas, (dx, dy) => choose(model.get("value")[0] + dy, model.get("value")[1] + dx));
  show();
}

export default {
  render({ model, el }) {
    ({ draw: renderDraw, drag: renderDrag, cells: renderCells })[model.get("mode")](model, el);
  },
};
