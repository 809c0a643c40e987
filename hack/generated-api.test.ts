import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generatedFiles } from "./generated-api.ts";

test.for(Object.entries(generatedFiles()))("%s is what make generate writes", ([path, text]) => {
  expect(readFileSync(new URL(`../${path}`, import.meta.url), "utf8")).toBe(text);
});
