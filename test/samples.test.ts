import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseManifests } from "../operator/standalone/manifests.ts";

/** What people copy first must be right: the samples, and every manifest that the documents show. */
const root = join(import.meta.dirname, "..");
const samples = readdirSync(join(root, "config/samples")).map(
  (name) => [`config/samples/${name}`, readFileSync(join(root, "config/samples", name), "utf8")] as const,
);

const documents = [
  "README.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const shown = documents.flatMap((document) => {
  const blocks = [...readFileSync(join(root, document), "utf8").matchAll(/```yaml\n([\s\S]*?)```/g)].map(
    ([, text = ""]) => text,
  );
  return blocks
    .filter((text) => /^kind: Audit/m.test(text))
    .map((text) => [`a manifest in ${document}`, text] as const);
});

test.for([...samples, ...shown])("%s is valid", ([, text]) => {
  expect(parseManifests(text)).toMatchObject({ ok: true });
});

test("there are samples, and manifests in the documents", () => {
  expect(samples.length).toBeGreaterThan(1);
  expect(shown.length).toBeGreaterThan(0);
});
