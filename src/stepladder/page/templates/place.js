// Marks in the navigation what is being read, and on a narrow screen folds what is long.
const narrow = matchMedia("(max-width: 56rem)");
if (narrow.matches) document.querySelectorAll("details.fold").forEach((details) => (details.open = false));

const bar = document.querySelector("nav");
const places = [...bar.querySelectorAll("a")].map((link) => [link, document.getElementById(link.hash.slice(1))]);
let [present] = places[0];

function mark() {
  const line = bar.getBoundingClientRect().bottom + 60;
  const [link] = places.findLast(([, target]) => target.getBoundingClientRect().top <= line) ?? places[0];
  if (link === present && link.hasAttribute("aria-current")) return;
  present.removeAttribute("aria-current");
  link.setAttribute("aria-current", "location");
  bar.scrollLeft = link.offsetLeft - bar.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
  present = link;
}

let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    mark();
  });
}
addEventListener("scroll", later, { passive: true });
addEventListener("resize", later);
mark();
