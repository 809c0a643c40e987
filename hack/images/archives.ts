import { existsSync } from "node:fs";
import { join } from "node:path";
import { cloneState } from "../servers/registry.ts";

/** What `make images` writes, and what a cluster is given. */
export const imageFolder = join(cloneState, "images");

export const images = {
  operator: { tag: "localhost/audit-pipeline-operator:dev", archive: join(imageFolder, "operator.tar") },
  sink: { tag: "localhost/audit-sink:dev", archive: join(imageFolder, "sink.tar") },
} as const;

/** Those that were built. */
export const imageArchives = () =>
  Object.values(images)
    .map(({ archive }) => archive)
    .filter((archive) => existsSync(archive));
