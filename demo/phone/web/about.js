// Shows the model's own description; none of it is repeated in this code.

import {elementWith, terms} from "./answer.js";

const METRICS = {
  auroc: "AUROC", sensitivity: "Sensitivity", specificity: "Specificity", accuracy: "Accuracy", precision: "Precision",
  f1: "F1", kappa: "Cohen's kappa", ece: "Calibration error", brier: "Brier score",
};

export function showAbout(description, model) {
  const sections = [
    ["", [
      ["Name", description.name],
      ["File", `${model.file}, ${(model.bytes / 1e6).toFixed(1)} MB`],
      ["Intended use", description.intended_use],
      ["Body parts", description.kind === "router" ? description.labels.join(", ") : ""],
    ]],
    ["Training", trainingOf(description)],
    [titleOf(description.evaluation), metricsOf(description.evaluation)],
    ["Threshold and calibration", thresholdOf(description)],
    ["Effect of conversion", gateOf(description.gate)],
    ["Limits", limitsOf(description)],
  ];
  document.getElementById("about").replaceChildren(...sections.flatMap(section));
}

function section([title, pairs]) {
  const known = pairs.filter(([, value]) => value);
  if (!known.length) return [];
  const list = document.createElement("dl");
  list.append(...terms(known));
  return title ? [elementWith("h3", title), list] : [list];
}

function trainingOf({training, attribution}) {
  const images = training?.images;
  return [
    ["Data", attribution ?? training?.layout],
    ["Images", images && `training ${images.train}, validation ${images.validation}, test ${images.test}`],
    ["Recipe", training?.recipe],
  ];
}

const titleOf = (evaluation) =>
  `Metrics on ${evaluation?.count ?? "the"} images of the ${evaluation?.part ?? "test"} split`;

function metricsOf(evaluation) {
  const metrics = Object.entries(METRICS)
    .filter(([name]) => Number.isFinite(evaluation?.[name]?.value))
    .map(([name, title]) => [title, interval(evaluation[name])]);
  return metrics.length ? [...metrics, ["Measured on", evaluation.model], ["Fractured", fracturedOf(evaluation)]] : [];
}

const fracturedOf = ({fractured, count}) => fractured === undefined ? "" : `${fractured} of ${count}`;

function interval({value, low, high}) {
  const known = Number.isFinite(low) && Number.isFinite(high);
  return known ? `${decimal(value)} (95 %: ${decimal(low)} to ${decimal(high)})` : decimal(value);
}

const decimal = (value) => value.toFixed(3).replace(/^-(0\.0+)$/, "$1"); // no "-0.000"

function thresholdOf({threshold, probability_calibration: calibration}) {
  const how = [
    threshold?.rule && `by the rule ${threshold.rule}`,
    threshold?.chosen_on && `on the ${threshold.chosen_on} split`,
  ];
  return [
    ["Threshold", Number.isFinite(threshold?.value) && [decimal(threshold.value), ...how].filter(Boolean).join(", ")],
    ["Calibrated by", calibration?.method],
  ];
}

function gateOf(gate) {
  if (!gate) return [];
  const agreement =
    Number.isFinite(gate.agreement) && `${(100 * gate.agreement).toFixed(1)} % of ${gate.images} images`;
  const largest = Number.isFinite(gate.largest_difference) && `${decimal(gate.largest_difference)} in probability`;
  return [
    ["Gate", gate.passed ? "passed" : `not passed: ${gate.reasons.join("; ")}`],
    ["Unchanged labels", agreement],
    ["Change of AUROC", gate.auroc && interval(gate.auroc)],
    ["Largest change", largest],
  ];
}

function limitsOf({out_of_distribution: known}) {
  return [
    ["Use", "Research only. It gives no diagnosis, and a low probability does not rule out a fracture."],
    ["Images", "The metrics hold for images like the training data; other devices, body parts and ages may differ."],
    ["Other images", known ? "It warns of images unlike its training data, but not of all of them." :
      "It does not detect images that are not radiographs."],
  ];
}
