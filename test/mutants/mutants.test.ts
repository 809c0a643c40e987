import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mutants } from "./mutants.ts";

// `make mutants` takes minutes; that a mutant still means something is seen here at once.

const root = join(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(join(root, file), "utf8");

describe("each mutant", () => {
  test.for(mutants.map((mutant) => ({ ...mutant })))("$name", ({ name, file, search, replace, tests }) => {
    expect(read(file).split(search), `its text occurs in ${file} exactly once`).toHaveLength(2);
    expect(replace).not.toBe(search);
    for (const path of tests) expect(existsSync(join(root, path)), path).toBe(true);
    expect(read("docs/mutants.md")).toContain(`| ${name} |`);
  });
});

test("no two have one name", () => {
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
});
