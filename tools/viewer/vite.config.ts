import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the page works from any directory of any server
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  resolve: {
    alias: [{ find: /^numcodecs\/.*/, replacement: fileURLToPath(new URL("./src/no-codec.ts", import.meta.url)) }],
  },
  build: { target: "es2022", assetsInlineLimit: 0 },
  server: { fs: { allow: [".."] } }, // the reader lies beside
});
