import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensurePrograms } from "../cluster/prerequisites.ts";
import { cloneState } from "../servers/registry.ts";
import { run, withProgress } from "../servers/run.ts";
import { imageFolder, images } from "./archives.ts";
import { writeBase } from "./base.ts";
import { type Buildah, buildIn, withStorage } from "./buildah.ts";
import { programs, writeProgram } from "./bundle.ts";

/** `make images`: both images as docker-archives, with what is in them (CycloneDX) beside. BASE names a base to pull. */
const BASE_TAG = "localhost/audit-pipeline-base:dev";

await ensurePrograms("buildah");
mkdirSync(imageFolder, { recursive: true });
const context = mkdtempSync(join(cloneState, "image-context-"));
try {
  await withProgress("Bundling", async () => {
    for (const program of programs) await writeProgram(program, join(context, program.name));
    copyFileSync(join(import.meta.dirname, "Dockerfile"), join(context, "Dockerfile"));
  });
  await withProgress("Building images", () => withStorage(build));
} finally {
  rmSync(context, { recursive: true, force: true });
}
const contents = await run("npm", ["sbom", "--omit", "dev", "--sbom-format", "cyclonedx"]);
for (const { tag, archive } of Object.values(images)) {
  writeFileSync(archive.replace(/\.tar$/, ".cdx.json"), contents);
  console.log(`${tag}  ${archive}  ${Math.round(statSync(archive).size / 1e6)} MB`);
}

async function build(buildah: Buildah): Promise<void> {
  const given = process.env["BASE"];
  if (given === undefined || given === "") await buildBase(buildah);
  for (const target of ["operator", "sink"] as const) {
    await buildIn(buildah, { context, target, ...images[target], args: { BASE: given || BASE_TAG } });
  }
}

async function buildBase(buildah: Buildah): Promise<void> {
  const folder = join(context, "base");
  mkdirSync(folder);
  writeBase(folder);
  await buildIn(buildah, { context: folder, tag: BASE_TAG });
}
