/**
 * Reads cell stores, in Node and in browsers. Written from spec/ alone.
 *
 * Checked when a store is opened: JSON, version, required features, the root's digest, and the manifest; when an array is
 * first read: its `zarr.json`; at every read: CRC-32C of each chunk and index that is used, and that no fill value stands
 * where data must be. Digests of arrays are checked by `validate` alone ([INT-6]).
 */

export { PLANS, draw } from "./draw.js";
export { StoreError, lineOf } from "./errors.js";
export { sharesOfNodes } from "./labels.js";
export { HttpPlace } from "./places/http.js";
export { FilesPlace, FolderPlace } from "./places/folder.js";
export { Philox } from "./sampling/philox.js";
export { DEFAULTS as WINDOW_DEFAULTS } from "./sampling/window.js";
export { openStore, Store } from "./store.js";
export { compareBytes } from "./strings.js";
