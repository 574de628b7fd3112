// Search over the sections of all lessons, which stand in this page as data.
const form = document.querySelector(".search");
const field = form.querySelector("input");
const list = form.querySelector("ol");
const said = form.querySelector("p");
const sections = JSON.parse(document.querySelector("#sections").textContent);
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
for (const section of sections) {
  section.low = plain(section.words);
  section.head = plain(`${section.lesson} ${section.title}`);
}
const most = 30;

function excerpt(section, word) {
  const at = Math.max(0, section.low.indexOf(word));
  const start = at > 60 ? section.words.lastIndexOf(" ", at - 40) + 1 : 0;
  const text = section.words.slice(start, start + 180);
  const mark = document.createElement("mark");
  const where = at - start;
  mark.textContent = text.slice(where, where + word.length);
  return [start ? "… " : "", text.slice(0, where), mark, text.slice(where + word.length), " …"];
}

function search() {
  const words = plain(field.value).split(/\s+/).filter((word) => word.length > 1);
  const score = (section) => words.reduce((sum, word) => sum + (section.head.includes(word) ? 20 : 0)
    + Math.min(9, section.low.split(word).length - 1), 0);
  const hits = words.length ? sections
    .filter((section) => words.every((word) => section.low.includes(word) || section.head.includes(word)))
    .sort((a, b) => score(b) - score(a)) : [];
  list.replaceChildren(...hits.slice(0, most).map((section) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = section.page + (section.id ? `#${section.id}` : "");
    link.textContent = section.title === section.lesson ? section.lesson : `${section.lesson} › ${section.title}`;
    const words_ = document.createElement("small");
    words_.append(...excerpt(section, words[0]));
    item.append(link, words_);
    return item;
  }));
  const more = hits.length > most ? `, the first ${most} of them here` : "";
  said.textContent = words.length ? `${hits.length} section${hits.length === 1 ? "" : "s"}${more}` : "";
}

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
field.addEventListener("input", search);
const wanted = () => location.hash === "#search" && field.focus();
addEventListener("hashchange", wanted);
addEventListener("load", wanted);
