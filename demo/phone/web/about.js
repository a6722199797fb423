// What the model's file says of itself: nothing of it is written here twice.

import {made, terms} from "./answer.js";

const FIGURES = {
  auroc: "AUROC", sensitivity: "Sensitivity", specificity: "Specificity", accuracy: "Accuracy", precision: "Precision",
  f1: "F1", kappa: "Cohen's kappa", ece: "Calibration error", brier: "Brier score",
};

export function showAbout(description, model) {
  const parts = [
    ["", [
      ["Name", description.name],
      ["File", `${model.file}, ${(model.bytes / 1e6).toFixed(1)} MB`],
      ["Meant for", description.intended_use],
      ["Body parts", description.kind === "router" ? description.labels.join(", ") : ""],
    ]],
    ["What it was trained on", trainingOf(description)],
    [titleOf(description.evaluation), figuresOf(description.evaluation)],
    ["From probability to label", thresholdOf(description)],
    ["After conversion", gateOf(description.gate)],
    ["Limits", limitsOf(description)],
  ];
  document.getElementById("about").replaceChildren(...parts.flatMap(section));
}

function section([title, pairs]) {
  const known = pairs.filter(([, value]) => value);
  if (!known.length) return [];
  const list = document.createElement("dl");
  list.append(...terms(known));
  return title ? [made("h3", title), list] : [list];
}

function trainingOf({training, attribution}) {
  const images = training?.images;
  return [
    ["Data", attribution ?? training?.layout],
    ["Images", images && `${images.train} to learn from, ${images.validation} to choose by, ${images.test} to test on`],
    ["Recipe", training?.recipe],
  ];
}

const titleOf = (evaluation) => `Figures on ${evaluation?.count ?? "the"} images of the ${evaluation?.part ?? "test"} part`;

function figuresOf(evaluation) {
  const figures = Object.entries(FIGURES)
    .filter(([name]) => Number.isFinite(evaluation?.[name]?.value))
    .map(([name, title]) => [title, interval(evaluation[name])]);
  return figures.length ? [...figures, ["Measured on", evaluation.model], ["Fractured", fracturedOf(evaluation)]] : [];
}

const fracturedOf = ({fractured, count}) => fractured === undefined ? "" : `${fractured} of ${count}`;

function interval({value, low, high}) {
  const known = Number.isFinite(low) && Number.isFinite(high);
  return known ? `${shown(value)} (95 %: ${shown(low)} to ${shown(high)})` : shown(value);
}

const shown = (value) => value.toFixed(3).replace(/^-(0\.0+)$/, "$1"); // no figure is minus nothing

function thresholdOf({threshold, probability_calibration: calibration}) {
  const how = [threshold?.rule && `by the rule ${threshold.rule}`, threshold?.chosen_on && `on the ${threshold.chosen_on} part`];
  return [
    ["Threshold", Number.isFinite(threshold?.value) && [shown(threshold.value), ...how].filter(Boolean).join(", ")],
    ["Calibrated by", calibration?.method],
  ];
}

function gateOf(gate) {
  if (!gate) return [];
  const agreement = Number.isFinite(gate.agreement) && `${(100 * gate.agreement).toFixed(1)} % of ${gate.images} images`;
  return [
    ["Gate", gate.passed ? "passed" : `not passed: ${gate.reasons.join("; ")}`],
    ["Same label as before", agreement],
    ["Change of AUROC", gate.auroc && interval(gate.auroc)],
    ["Largest change", Number.isFinite(gate.largest_difference) && `${gate.largest_difference.toFixed(3)} of a probability`],
  ];
}

function limitsOf({out_of_distribution: known}) {
  return [
    ["Use", "Research only. It names no diagnosis, and a low probability rules out no fracture."],
    ["Images", "Figures hold for images like those it was trained on; other devices, body parts and ages may differ."],
    ["Other images", known ? "It warns of images unlike those it has learnt from, but not of all." :
      "It does not notice images that are no radiographs."],
  ];
}
