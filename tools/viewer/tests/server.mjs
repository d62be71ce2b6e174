// A static server on loopback, for the click-through: the built page, and stores beside it.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = /** @type {Record<string, string>} */ ({
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".woff2": "font/woff2",
  ".json": "application/json",
});

/**
 * Serve directories.
 *
 * @param {Record<string, string>} mounts directory of each first segment of a path; "" is that of all others
 * @param {{ranges?: boolean}} [options] whether it answers to ranges, as `python -m http.server` does not
 * @returns {Promise<{url: string, requests: string[], close: () => Promise<void>}>}
 */
export async function serve(mounts, { ranges = true } = {}) {
  const requests = /** @type {string[]} */ ([]);
  const server = createServer(async (request, response) => {
    const path =
      normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname)).slice(1) || "index.html";
    requests.push(`${request.method} ${path} ${request.headers.range ?? ""}`.trim());
    const [first, ...rest] = path.split("/");
    const file = first in mounts ? join(mounts[first], ...rest) : join(mounts[""], path);
    const found = await stat(file).catch(() => undefined);
    if (!found?.isFile()) {
      response.writeHead(404).end("not found");
      return;
    }
    const headers = { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Cache-Control": "no-cache" };
    const range = ranges ? /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "") : null;
    let [start, end] = [0, found.size - 1];
    if (range) {
      if (range[1] === "") start = Math.max(0, found.size - Number(range[2]));
      else [start, end] = [Number(range[1]), Math.min(end, range[2] === "" ? end : Number(range[2]))];
      if (start > end) {
        response.writeHead(416, { "Content-Range": `bytes */${found.size}` }).end();
        return;
      }
    }
    response.writeHead(range ? 206 : 200, {
      ...headers,
      "Content-Length": end - start + 1,
      ...(range && { "Content-Range": `bytes ${start}-${end}/${found.size}` }),
    });
    if (request.method === "HEAD" || found.size === 0) response.end();
    else createReadStream(file, { start, end }).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve(undefined));
      }),
  };
}
