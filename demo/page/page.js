// Moves the sliders of the answer without a request to the server. Gradio runs this once; `element` holds the answer.
const setField = (panel, name, text) => {
  const field = panel.querySelector(`[data-field="${name}"]`);
  if (field) field.textContent = text;
};

function moveOpacity(slider) {
  const heat = slider.closest("figure").querySelector(".osteo-heat");
  heat.style.opacity = slider.value / 100;
  slider.setAttribute("aria-valuetext", `${slider.value} %`);
}

function moveThreshold(panel, threshold, isOwn) {
  const slider = panel.querySelector(".osteo-threshold-input");
  const [fractured, normal] = panel.dataset.labels.split(",");
  const text = threshold.toFixed(isOwn ? 3 : 2);
  slider.value = threshold;
  slider.setAttribute("aria-valuetext", isOwn ? `${text}, the model's own` : text);
  panel.querySelector(".osteo-reset").disabled = isOwn;
  setField(panel, "threshold", text);
  setField(panel, "own", isOwn ? " (the model's own)" : "");
  setField(panel, "label", Number(panel.dataset.probability) >= threshold ? fractured : normal);
  const points = JSON.parse(panel.dataset.points);
  if (!points.length) return;
  const nearest = points.reduce((a, b) => (Math.abs(b[0] - threshold) < Math.abs(a[0] - threshold) ? b : a));
  setField(panel, "sensitivity", nearest[1].toFixed(3));
  setField(panel, "specificity", nearest[2].toFixed(3));
  setField(panel, "point", nearest[0].toFixed(2));
}

element.addEventListener("input", ({ target }) => {
  if (target.matches(".osteo-opacity")) moveOpacity(target);
  if (target.matches(".osteo-threshold-input")) {
    moveThreshold(target.closest(".osteo-threshold"), Number(target.value), false);
  }
});

element.addEventListener("click", ({ target }) => {
  if (!target.matches(".osteo-reset")) return;
  const panel = target.closest(".osteo-threshold");
  moveThreshold(panel, Number(panel.dataset.own), true);
  panel.querySelector(".osteo-threshold-input").focus(); // the disabled button would lose the focus
});
