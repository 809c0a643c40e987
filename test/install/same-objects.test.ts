import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { keyOf, type Manifest, renderChart, renderKustomize } from "./tools.ts";

/** What only helm says of an object: which chart and version it is of, and that it is helm's. */
const ofHelm = /^(helm\.sh\/|app\.kubernetes\.io\/(version|managed-by)$)/;

function withoutHelm(manifest: Manifest): Manifest {
  const { labels, annotations, ...metadata } = manifest.metadata;
  return {
    ...manifest,
    metadata: { ...metadata, ...without("labels", labels), ...without("annotations", annotations) },
  };
}

function without(field: string, found: Record<string, string> = {}) {
  const kept = Object.fromEntries(Object.entries(found).filter(([name]) => !ofHelm.test(name)));
  return Object.keys(kept).length === 0 ? {} : { [field]: kept };
}

const values = join(import.meta.dirname, "matching-values.yaml");
const ofChart = (await renderChart("--values", values)).map(withoutHelm);
// Helm makes the namespace itself, or is given one.
const ofKustomize = (await renderKustomize("test/install/overlay")).filter(({ kind }) => kind !== "Namespace");

describe("chart and kustomize bases", () => {
  it("have the same objects", () => {
    expect(ofChart.map(keyOf).sort()).toEqual(ofKustomize.map(keyOf).sort());
    expect(ofChart.length).toBeGreaterThan(15);
  });

  it.for(ofKustomize.map((manifest) => [keyOf(manifest), manifest] as const))("render %s alike", ([key, manifest]) => {
    expect(ofChart.find((one) => keyOf(one) === key)).toEqual(manifest);
  });
});
