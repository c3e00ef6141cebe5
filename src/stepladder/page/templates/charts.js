// Moves a chart's guide to an epoch, by pointer, touch or keyboard; without it the legends keep the last epoch.
for (const chart of document.querySelectorAll("[data-readings]")) {
  const readings = JSON.parse(chart.dataset.readings); // of each epoch: x, y of test and train in percent, then the texts
  const outputs = chart.parentElement.querySelectorAll("output");
  const [guide, test, train] = chart.querySelectorAll("i");
  const last = readings.length - 1;
  let shown = last;

  function show(place, guided) {
    shown = Math.min(Math.max(place, 0), last);
    const [x, testY, trainY, ...texts] = readings[shown];
    guide.style.left = test.style.left = train.style.left = `${x}%`;
    test.style.top = `${testY}%`;
    train.hidden = trainY === null;
    train.style.top = `${trainY}%`;
    outputs.forEach((output, place) => (output.textContent = texts[place]));
    chart.classList.toggle("guided", guided);
    chart.setAttribute("aria-valuenow", texts[0]);
    chart.setAttribute("aria-valuetext", `epoch ${texts[0]}: test ${texts[1]}, train ${texts[2]}`);
  }

  function follow(event) {
    const box = chart.getBoundingClientRect();
    const x = (100 * (event.clientX - box.left)) / box.width;
    const distances = readings.map((reading) => Math.abs(reading[0] - x));
    show(distances.indexOf(Math.min(...distances)), true);
  }

  function steer(event) {
    const places = { ArrowLeft: shown - 1, ArrowDown: shown - 1, ArrowRight: shown + 1, ArrowUp: shown + 1, Home: 0, End: last };
    if (!(event.key in places)) return;
    event.preventDefault();
    show(places[event.key], true);
  }

  chart.setAttribute("role", "slider");
  chart.setAttribute("aria-valuemin", readings[0][3]);
  chart.setAttribute("aria-valuemax", readings[last][3]);
  chart.tabIndex = 0;
  chart.addEventListener("pointermove", follow);
  chart.addEventListener("pointerdown", follow);
  chart.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(last, false));
  chart.addEventListener("keydown", steer);
  chart.addEventListener("focus", () => show(shown, true));
  chart.addEventListener("blur", () => show(last, false));
  show(last, false);
}
