import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergeApplied } from "./merge.ts";

const container = (over: object) => ({ spec: { containers: [{ name: "main", ...over }] } });

describe("mergeApplied", () => {
  test.for([
    {
      name: "sets what is stated and leaves what is not",
      live: { spec: { replicas: 1, paused: true } },
      previous: {},
      next: { spec: { replicas: 2 } },
      want: { spec: { replicas: 2, paused: true } },
    },
    {
      name: "removes what is no longer stated, with the defaults below it",
      live: { spec: { topic: { template: { partitions: 3, defaulted: 1 } } } },
      previous: { spec: { topic: { template: { partitions: 3 } } } },
      next: { spec: { topic: { ref: { name: "a" } } } },
      want: { spec: { topic: { ref: { name: "a" } } } },
    },
    {
      name: "merges env by name and keeps what another added",
      live: container({
        env: [
          { name: "A", value: "1" },
          { name: "B", value: "2" },
          { name: "THEIRS", value: "3" },
        ],
      }),
      previous: container({
        env: [
          { name: "A", value: "1" },
          { name: "B", value: "2" },
        ],
      }),
      next: container({ env: [{ name: "B", value: "9" }] }),
      want: container({
        env: [
          { name: "B", value: "9" },
          { name: "THEIRS", value: "3" },
        ],
      }),
    },
    {
      name: "turns a variable from a value into a reference without keeping both",
      live: container({ env: [{ name: "A", value: "1" }] }),
      previous: container({ env: [{ name: "A", value: "1" }] }),
      next: container({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "x" } } }] }),
      want: container({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "x" } } }] }),
    },
    {
      name: "tells ports apart by number and protocol, TCP when not said",
      live: container({ ports: [{ containerPort: 80, name: "old" }] }),
      previous: container({ ports: [{ containerPort: 80, name: "old" }] }),
      next: container({
        ports: [
          { containerPort: 80, protocol: "UDP" },
          { containerPort: 80, protocol: "TCP" },
        ],
      }),
      want: container({
        ports: [
          { containerPort: 80, protocol: "UDP" },
          { containerPort: 80, protocol: "TCP" },
        ],
      }),
    },
    {
      name: "replaces a list without a key as a whole",
      live: container({ args: ["a", "b"] }),
      previous: container({ args: ["a", "b"] }),
      next: container({ args: ["c"] }),
      want: container({ args: ["c"] }),
    },
    {
      name: "keeps the order that is stated",
      live: container({ env: [{ name: "A" }, { name: "B" }] }),
      previous: container({ env: [{ name: "A" }, { name: "B" }] }),
      next: container({ env: [{ name: "B" }, { name: "A" }] }),
      want: container({ env: [{ name: "B" }, { name: "A" }] }),
    },
    {
      name: "keeps null, which is a value",
      live: { spec: { config: {} } },
      previous: {},
      next: { spec: { config: { "segment.ms": null } } },
      want: { spec: { config: { "segment.ms": null } } },
    },
    {
      name: "drops our labels and keeps others' when we state none any more",
      live: { metadata: { labels: { ours: "1", theirs: "2" } } },
      previous: { metadata: { labels: { ours: "1" } } },
      next: { metadata: {} },
      want: { metadata: { labels: { theirs: "2" } } },
    },
  ])("$name", ({ live, previous, next, want }) => {
    expect(mergeApplied(live, previous, next)).toEqual(want);
  });

  const leaf = fc.oneof(
    fc.integer(),
    fc.string({ maxLength: 3 }),
    fc.constant(null),
    fc.array(fc.integer(), { maxLength: 2 }),
  );
  const name = fc.constantFrom("a", "b", "c", "spec", "env", "labels");
  const named = fc.uniqueArray(fc.record({ name, value: leaf }), { selector: (item) => item.name, maxLength: 3 });
  const { tree } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, leaf, named, tie("tree")),
    tree: fc.dictionary(name, tie("value"), { maxKeys: 4 }),
  }));
  const objects = tree;

  test("applied to nothing it is what was stated", () => {
    fc.assert(
      fc.property(objects, (next) => {
        expect(mergeApplied({}, {}, next)).toEqual(next);
      }),
    );
  });

  test("applied twice it is the same as once", () => {
    fc.assert(
      fc.property(objects, objects, objects, (live, previous, next) => {
        const once = mergeApplied(live, previous, next);
        expect(mergeApplied(once, next, next)).toEqual(once);
      }),
    );
  });

  test("what one manager alone wrote, a second apply replaces without a trace", () => {
    fc.assert(
      fc.property(objects, objects, (first, second) => {
        const merged = mergeApplied(mergeApplied({}, {}, first), first, second);
        expect(withoutEmptyMaps(merged)).toEqual(withoutEmptyMaps(second));
      }),
    );
  });

  test("its arguments are left as they are", () => {
    fc.assert(
      fc.property(objects, objects, objects, (live, previous, next) => {
        const before = structuredClone([live, previous, next]);
        mergeApplied(live, previous, next);
        expect([live, previous, next]).toEqual(before);
      }),
    );
  });
});

/** An emptied map of labels may stay behind: it says the same as none. */
function withoutEmptyMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmptyMaps);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, member]) => [key, withoutEmptyMaps(member)] as const);
  return Object.fromEntries(entries.filter(([, member]) => JSON.stringify(member) !== "{}"));
}
