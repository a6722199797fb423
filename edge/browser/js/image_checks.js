// What speaks against an image being a bone radiograph at all, or one fit to be scored: edge/prediction/image_checks.py, in its words.

import {constants} from "./constants.js";

// Warnings by their kind, of a decoded image whose sides become `enlarged` times longer in the model's input. `negative` gives the unfamiliarity of the image with black and white
// exchanged; it is asked only where it may tell.
export async function doubts({grey, chroma}, enlarged, unfamiliarity, negative) {
  const {texts, flat, enlarged_limit: enlargedLimit, colour_limit: colourLimit} = constants.doubts;
  let [darkest, brightest] = [255, 0];
  for (const value of grey.data) {
    if (value < darkest) darkest = value;
    if (value > brightest) brightest = value;
  }
  if (brightest - darkest < flat) return {blank: texts.blank};
  const found = {};
  if (enlarged > enlargedLimit) found.small = texts.small.replace("{size}", `${grey.width} x ${grey.height}`);
  if (chroma > colourLimit) found.coloured = texts.coloured;
  if (unfamiliarity !== null && unfamiliarity > 1) {
    if (!found.coloured && await negative() <= 1) found.inverted = texts.inverted;
    else found.unfamiliar = texts.unfamiliar.replace("{times}", unfamiliarity.toFixed(1));
  }
  return found;
}
