// Of the answer on the page, run once with `element`, which holds it: its sliders need no word from the server.
const say = (panel, name, text) => {
  const place = panel.querySelector(`[data-say="${name}"]`);
  if (place) place.textContent = text;
};

function moveOpacity(slider) {
  const heat = slider.closest("figure").querySelector(".osteo-heat");
  heat.style.opacity = slider.value / 100;
  slider.setAttribute("aria-valuetext", `${slider.value} %`);
}

function moveThreshold(panel, at, isOwn) {
  const slider = panel.querySelector(".osteo-at");
  const [fractured, normal] = panel.dataset.labels.split(",");
  const shown = at.toFixed(isOwn ? 3 : 2);
  slider.value = at;
  slider.setAttribute("aria-valuetext", isOwn ? `${shown}, the model's own` : shown);
  panel.querySelector(".osteo-back").disabled = isOwn;
  say(panel, "at", shown);
  say(panel, "whose", isOwn ? " (the model's own)" : "");
  say(panel, "label", Number(panel.dataset.probability) >= at ? fractured : normal);
  const points = JSON.parse(panel.dataset.points);
  if (!points.length) return;
  const nearest = points.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
  say(panel, "sensitivity", nearest[1].toFixed(3));
  say(panel, "specificity", nearest[2].toFixed(3));
  say(panel, "point", nearest[0].toFixed(2));
}

element.addEventListener("input", ({ target }) => {
  if (target.matches(".osteo-opacity")) moveOpacity(target);
  if (target.matches(".osteo-at")) moveThreshold(target.closest(".osteo-threshold"), Number(target.value), false);
});

element.addEventListener("click", ({ target }) => {
  if (!target.matches(".osteo-back")) return;
  const panel = target.closest(".osteo-threshold");
  moveThreshold(panel, Number(panel.dataset.own), true);
  panel.querySelector(".osteo-at").focus(); // the button is disabled now, and would take the focus with it
});
