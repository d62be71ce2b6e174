/** For Node: the same with directories. */

import { DirectoryPlace } from "./places/directory.js";
import { HttpPlace } from "./places/http.js";

export * from "./index.js";
export { DirectoryPlace };

/**
 * Place of a store: a URL, or else a directory.
 *
 * @param {string} given
 */
export function placeOf(given) {
  return /^https?:\/\//.test(given) ? new HttpPlace(given) : new DirectoryPlace(given);
}
