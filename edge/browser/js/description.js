// What a model file says of itself, checked as far as the answer rests on it: edge/modelfile/description.py.

const SCHEMA = 1;
const CHOICES = {
  aspect: ["pad", "squeeze"], interpolation: ["box", "bilinear", "bicubic", "lanczos"], channels: ["grey", "rgb"],
};
const USUAL = {
  width: 224, height: 224, aspect: "pad", interpolation: "bilinear", channels: "rgb", mean: 127.5, std: 127.5,
};
const MOST_SIDE = 4096;
const FRACTURE = "fracture";
const ROUTER = "router";

const within = (value, least, most) => typeof value === "number" && value >= least && value <= most;
const side = (value) => Number.isInteger(value) && within(value, 1, MOST_SIDE);

// The kind of a description that `predict` can answer with: "fracture" or "router".
export function kindOf(description) {
  const kind = description.kind ?? FRACTURE;
  need(description.schema === SCHEMA, `schema ${description.schema}; this page reads ${SCHEMA}`);
  if (kind !== FRACTURE && kind !== ROUTER) {
    throw new Error(`a model of kind ${kind}, which gives no fracture probability; take a fracture model or a router`);
  }
  const calibration = description.probability_calibration ?? {};
  if (kind === ROUTER) {
    const parts = description.labels;
    need(Array.isArray(parts) && within(parts.length, 2, 64), "its body parts");
    need(parts.every((part) => description.stages?.[part]), "a body part without its stage");
    need(within(calibration.temperature, 1e-3, 1e3), "its temperature");
  } else {
    need(String(description.labels) === "normal,fractured", "its labels");
    need(within(calibration.slope, -1e6, 1e6) && within(calibration.intercept, -1e6, 1e6), "its calibration");
    const threshold = description.threshold?.value;
    need(within(threshold, 0, 1) && threshold > 0 && threshold < 1, "its threshold");
    checkFamiliarity(description.out_of_distribution ?? null);
  }
  return kind;
}

// The preprocessing spec, whole.
export function specOf(description) {
  const spec = {...USUAL, ...description.preprocessing};
  need(Object.keys(spec).length === Object.keys(USUAL).length, "its preprocessing");
  need(side(spec.width) && side(spec.height), "the size of its input");
  for (const [name, allowed] of Object.entries(CHOICES)) need(allowed.includes(spec[name]), `its ${name}`);
  need(within(spec.mean, -1e6, 1e6) && within(spec.std, 1e-6, 1e6), "its mean or std");
  return spec;
}

function checkFamiliarity(limits) {
  if (limits === null) return;
  const {mean, scale, basis, limit} = limits;
  const vector = (values) => Array.isArray(values) && values.length === mean.length && values.every(Number.isFinite);
  const whole = Array.isArray(mean) && Array.isArray(basis) && [mean, scale, ...basis].every(vector);
  need(whole && scale.every((value) => value > 0) && limit > 0, "its out-of-distribution limits");
}

function need(fine, what) {
  if (!fine) throw new Error(`the model's osteolite.json is outside what is allowed (${what}); convert the run again`);
}
