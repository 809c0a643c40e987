import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { REASONS } from "../../crds/v1alpha1/conditions.ts";

const REASON = /(?:WaitingError|StalledError)\(\s*"(\w+)"|\breason: "(\w+)"/g;

test("every reason that the operator gives is one that docs/conditions.md explains", () => {
  const root = new URL("../../", import.meta.url).pathname;
  const sources = globSync("operator/{desired,plan,external,controllers,status}/**/*.ts", { cwd: root }).filter(
    (path) => !path.endsWith(".test.ts"),
  );
  const given = sources.flatMap((path) =>
    [...readFileSync(root + path, "utf8").matchAll(REASON)].map((match) => ({ path, reason: match[1] ?? match[2] })),
  );
  expect(given.length).toBeGreaterThan(0);
  expect(given.filter(({ reason = "" }) => !Object.hasOwn(REASONS, reason))).toEqual([]);
});
