// Builds what is published and what doorcode's binary embeds, into js/dist, element/dist and ../openapi: `npm run build`.
// The same sources give the same bytes (versions are pinned by package-lock.json); `--check` compares instead of writing.
import { build } from "esbuild";
import fs from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { parse } from "yaml";

const here = import.meta.dirname;
const check = process.argv.includes("--check");
const bundles = [
  { from: "js/src/index.ts", to: "js/dist/doorcode.js", limit: 6 * 1024 },
  { from: "element/src/index.ts", to: "element/dist/doorcode-login.js", limit: 20 * 1024 },
];
let stale = false;

for (const { from, to, limit } of bundles) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [from],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    charset: "utf8",
    loader: { ".css": "text" },
    alias: { "doorcode-js": "./js/src/index.ts" },
    banner: { js: "/* doorcode, Apache-2.0: built from clients/ by `npm run build` */" },
    write: false,
  });
  const fresh = Buffer.from(outputFiles[0].contents);
  const size = gzipSync(fresh, { level: 9 }).length;
  console.log(`${to}: ${fresh.length} bytes, ${size} gzipped (limit ${limit})`);
  if (size > limit) throw new Error(`${to} is too large`);
  await keep(to, fresh);
}
for (const file of await fs.readdir(path.join(here, "../openapi"))) {
  if (!file.endsWith(".yaml")) continue;
  const text = await fs.readFile(path.join(here, "../openapi", file), "utf8");
  await keep(`../openapi/${file.replace(/yaml$/, "json")}`, Buffer.from(JSON.stringify(parse(text, { merge: true }), null, 1) + "\n"));
}
if (stale) {
  console.error("clients/*/dist or openapi/*.json is not what the sources give: run `npm run build` in clients/ and commit it");
  process.exit(1);
}

async function keep(to, fresh) {
  const file = path.join(here, to);
  if (check) {
    stale ||= !fresh.equals(await fs.readFile(file).catch(() => Buffer.alloc(0)));
  } else {
    await fs.mkdir(path.dirname(file), { recursive: true });
    await fs.writeFile(file, fresh);
  }
}
