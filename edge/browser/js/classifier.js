// Scores images with a model file: edge/prediction/classifier.py and edge/prediction/router.py in JavaScript.

import {kindOf, specOf} from "./description.js";
import {imageWarnings} from "./image_checks.js";
import {oodScore} from "./out_of_distribution.js";
import {checkDigest, readModel} from "./modelfile.js";
import {openNetwork} from "./network.js";
import {enlargement, fit} from "./preprocess.js";
import {forInput} from "./reduce.js";

// Opens the bytes of a model file, a fracture model or a router, on "wasm" or "webgpu": {description, predict, close}.
//
// `predict(decoded)` takes the result of `readRadiograph` and returns {label, fractureProbability, logit, threshold,
// model, variant, warnings, oodScore, bodyPart, bodyPartProbability, milliseconds, activationMap, spec, applied,
// reason}. Simultaneous calls run one after the other.
export async function openClassifier(bytes, {accelerator = "wasm"} = {}) {
  const file = readModel(bytes);
  const kind = kindOf(file.description);
  await checkDigest(file.flatbuffer, file.description.flatbuffer.sha256, "the model");
  const open = kind === "router" ? openRouter : openFracture;
  const {predict, close} = await open(file, accelerator);
  let last = Promise.resolve();
  const inTurn = (decoded) => {
    const prediction = last.then(() => predict(decoded));
    last = prediction.catch(() => null);
    return prediction;
  };
  return {description: file.description, predict: inTurn, close};
}

async function openFracture({description, flatbuffer}, accelerator) {
  const spec = specOf(description);
  const network = await openNetwork(flatbuffer, spec, 1, accelerator);
  const predict = async (decoded) => {
    const milliseconds = {preprocess: 0, invoke: 0, check: 0};
    const image = await timed(milliseconds, "preprocess", () => fitted(decoded, spec));
    return scoreImage({description, spec, network}, decoded, image, milliseconds);
  };
  return {predict, close: network.close};
}

function fitted(decoded, spec) {
  const grey = forInput(decoded, spec);
  return {grey, pixels: fit(grey, spec)};
}

// The prediction for an image that is already fitted to `spec`.
async function scoreImage({description, spec, network}, decoded, {grey, pixels}, milliseconds) {
  const outputs = await timed(milliseconds, "invoke", () => network.run(pixels));
  const [logit] = outputs.values;
  if (!Number.isFinite(logit)) throw new Error(`the model's output is ${logit}; convert it again`);
  const {slope, intercept} = description.probability_calibration;
  const probability = sigmoid(slope * logit + intercept);
  const ood = oodScoreOf(outputs, description);
  const negative = async () => {
    const data = grey.data.map((value) => 255 - value);
    return oodScoreOf(await network.run(fit({...grey, data}, spec)), description);
  };
  const warnings = await timed(milliseconds, "check", () =>
    imageWarnings({...decoded, grey}, enlargement(spec, grey.width, grey.height), ood, negative));
  return {
    label: probability >= description.threshold.value ? "fractured" : "normal",
    fractureProbability: probability,
    logit,
    threshold: description.threshold.value,
    model: description.name,
    variant: description.variant,
    warnings,
    oodScore: ood,
    bodyPart: null,
    bodyPartProbability: null,
    milliseconds,
    activationMap: outputs.activationMap,
    spec,
    applied: network.applied,
    reason: network.reason,
  };
}

function oodScoreOf({features}, {out_of_distribution: limit}) {
  if (!limit || !features) return null;
  if (features.length !== limit.mean.length) {
    throw new Error(`the model gives ${features.length} features but describes ${limit.mean.length}; convert it again`);
  }
  return oodScore(features, limit);
}

// Opens the fracture model of a body part with the first image of that part, and keeps it open.
async function openRouter({description, flatbuffer, stage}, accelerator) {
  const spec = specOf(description);
  const network = await openNetwork(flatbuffer, spec, description.labels.length, accelerator);
  const stages = new Map();
  const predict = async (decoded) => {
    const milliseconds = {preprocess: 0, invoke: 0, load: 0, check: 0};
    let image = await timed(milliseconds, "preprocess", () => fitted(decoded, spec));
    const {values} = await timed(milliseconds, "invoke", () => network.run(image.pixels));
    const probabilities = softmax(values, description.probability_calibration.temperature);
    const best = probabilities.indexOf(Math.max(...probabilities));
    const bodyPart = description.labels[best];
    await timed(milliseconds, "load", async () => {
      if (stages.has(bodyPart)) return;
      stages.set(bodyPart, await openStage(stage(bodyPart), description.stages[bodyPart], accelerator));
    });
    const chosen = stages.get(bodyPart);
    if (JSON.stringify(chosen.spec) !== JSON.stringify(spec)) {
      image = await timed(milliseconds, "preprocess", () => fitted(decoded, chosen.spec));
    }
    const prediction = await scoreImage(chosen, decoded, image, milliseconds);
    return {...prediction, model: description.name, bodyPart, bodyPartProbability: probabilities[best]};
  };
  const close = () => {
    for (const opened of [network, ...Array.from(stages.values(), (entry) => entry.network)]) opened.close();
  };
  return {predict, close};
}

async function openStage(bytes, entry, accelerator) {
  await checkDigest(bytes, entry.sha256, "a stage of the model");
  const {description, flatbuffer} = readModel(bytes);
  if (kindOf(description) === "router") throw new Error("a stage of the model is itself a router; convert it again");
  const spec = specOf(description);
  return {description, spec, network: await openNetwork(flatbuffer, spec, 1, accelerator)};
}

// Calibrated probabilities.
function softmax(logits, temperature) {
  if (!logits.every(Number.isFinite)) throw new Error(`the model's output is ${logits}; convert it again`);
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const highest = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((power) => power / sum);
}

// Does not overflow at either end.
function sigmoid(value) {
  if (value >= 0) return 1 / (1 + Math.exp(-value));
  return Math.exp(value) / (1 + Math.exp(value));
}

// Runs `work` and adds its time to a step.
async function timed(milliseconds, step, work) {
  const start = performance.now();
  const result = await work();
  milliseconds[step] += performance.now() - start;
  return result;
}
