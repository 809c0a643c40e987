import { readFile } from "node:fs/promises";

const files = ["auditpipeline.io_audittopics.yaml", "auditpipeline.io_auditpipelines.yaml"];

/** The CustomResourceDefinitions of this version, each a YAML document. */
export function crdTexts(): Promise<string[]> {
  const folder = new URL("../../crds/v1alpha1/", import.meta.url);
  return Promise.all(files.map((file) => readFile(new URL(file, folder), "utf8")));
}
