// Measures how far an image is from a model's training data: edge/modelfile/out_of_distribution.py in JavaScript.

// The out-of-distribution score of features, divided by the limit in osteolite.json; above 1 there is a warning.
export function oodScore(features, {mean, scale, basis, limit}) {
  const standard = Float64Array.from(features, (value, place) => (value - mean[place]) / scale[place]);
  const residual = Float64Array.from(standard);
  for (const direction of basis) {
    let along = 0;
    for (let place = 0; place < standard.length; place++) along += standard[place] * direction[place];
    for (let place = 0; place < standard.length; place++) residual[place] -= along * direction[place];
  }
  return residual.reduce((sum, value) => sum + value * value, 0) / residual.length / limit;
}
