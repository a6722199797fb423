// Shows the prediction: label, probability and warnings, and the radiograph under its heatmap.

import {layer} from "./js/heatmap.js";

const MAX_SIDE = 1024; // of the shown radiograph, pixels: a phone's canvas cannot hold thirty million
const STEPS = {
  read: "Read", preprocess: "Preprocess", invoke: "Run the model", load: "Load the body part's model", check: "Check",
};

const element = (id) => document.getElementById(id);

export function hideAnswer() {
  element("answer").hidden = true;
}

export function setOpacity(opacity) {
  element("heat").style.opacity = opacity;
}

export function showAnswer(grey, prediction, setup) {
  showCard(prediction);
  drawRadiograph(element("radiograph"), grey);
  drawHeat(prediction, grey);
  element("facts").replaceChildren(...terms(factsOf(prediction, setup)));
  element("answer").hidden = false;
}

// The elements of a <dl>, for pairs of name and value.
export function terms(pairs) {
  return pairs.flatMap(([name, value]) => [elementWith("dt", name), elementWith("dd", value)]);
}

export function elementWith(tag, text) {
  const created = document.createElement(tag);
  created.textContent = text;
  return created;
}

function showCard({label, fractureProbability, threshold, warnings}) {
  const card = element("card");
  card.classList.toggle("fractured", label === "fractured");
  element("label").textContent = label.charAt(0).toUpperCase() + label.slice(1);
  element("probability").textContent = fractureProbability.toFixed(3);
  element("probability").dataset.value = fractureProbability;
  element("side").textContent = label === "fractured" ? "at or above" : "below";
  element("threshold").textContent = threshold.toFixed(3);
  card.style.setProperty("--filled", `${100 * fractureProbability}%`);
  card.style.setProperty("--at", `${100 * threshold}%`);
  const texts = Object.values(warnings);
  element("warnings").replaceChildren(...texts.map((text) => elementWith("li", text)));
  element("warnings").hidden = !texts.length;
}

function factsOf(prediction, {model, accelerator}) {
  const steps = Object.entries(prediction.milliseconds);
  const total = steps.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  const bodyPart = prediction.bodyPart &&
    [["Body part", `${prediction.bodyPart}, probability ${prediction.bodyPartProbability.toFixed(3)}`]];
  return [
    ...bodyPart || [],
    ["Model", prediction.model],
    ["Variant", prediction.variant || model.variant],
    ["Ran on", [accelerator, prediction.reason].filter(Boolean).join("; ")],
    ...steps.map(([step, milliseconds]) => [STEPS[step] ?? step, `${milliseconds.toFixed(1)} ms`]),
    ["Total", `${total.toFixed(1)} ms`],
  ];
}

// ---- images

function drawRadiograph(canvas, grey) {
  const {width, height, data} = reduced(grey);
  const pixels = new ImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let index = 0; index < data.length; index++) words[index] = 0xff000000 | (data[index] * 0x010101);
  paint(canvas, pixels);
}

// Averages square blocks of pixels so that no side is longer than MAX_SIDE.
function reduced(grey) {
  const step = Math.ceil(Math.max(grey.width, grey.height) / MAX_SIDE);
  if (step <= 1) return grey;
  const [width, height] = [Math.floor(grey.width / step) || 1, Math.floor(grey.height / step) || 1];
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data[y * width + x] = meanAt(grey, x * step, y * step, step);
  }
  return {width, height, data};
}

function meanAt(grey, left, top, step) {
  const [right, bottom] = [Math.min(left + step, grey.width), Math.min(top + step, grey.height)];
  let sum = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) sum += grey.data[y * grey.width + x];
  }
  return sum / ((right - left) * (bottom - top));
}

function drawHeat({activationMap, spec}, grey) {
  const hasMap = Boolean(activationMap);
  element("heat").hidden = element("heat-control").hidden = !hasMap;
  element("no-heat").hidden = hasMap;
  element("no-heat").textContent = "This model gives no heatmap.";
  if (hasMap) paint(element("heat"), layer(activationMap, spec, grey.width, grey.height));
}

function paint(canvas, pixels) {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
