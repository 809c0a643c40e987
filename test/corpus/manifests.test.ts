import { describe, expect, test } from "vitest";
import { type Validation, validateResource } from "../../crds/validate.ts";
import { corpus } from "./read.ts";

const messages = (validation: Validation) => (validation.ok ? [] : validation.causes.map((cause) => cause.message));
const fields = (validation: Validation) => (validation.ok ? [] : validation.causes.map((cause) => cause.field));

describe("accepted manifests", () => {
  test.for(corpus("accepted"))("$name", ({ before, object }) => {
    if (before !== undefined) expect(messages(validateResource(before))).toEqual([]);
    expect(messages(validateResource(object, before))).toEqual([]);
  });
});

describe("refused manifests, each at the field it names and nowhere else", () => {
  test.for(corpus("refused"))("$name", ({ before, object, field }) => {
    if (before !== undefined) {
      expect(messages(validateResource(before))).toEqual([]);
      expect(messages(validateResource(object)), "is refused as an update only").toEqual([]);
    }
    expect(new Set(fields(validateResource(object, before)))).toEqual(new Set([field]));
  });
});

test("every refusal says what was found and what is allowed", () => {
  for (const { before, object, name } of corpus("refused")) {
    const validation = validateResource(object, before);
    for (const cause of validation.ok ? [] : validation.causes) {
      expect(cause.found, name).not.toBe("");
      expect(cause.allowed.length, name).toBeGreaterThan(10);
      expect(cause.message, name).toMatch(/^[ -~…]+$/);
    }
  }
});
