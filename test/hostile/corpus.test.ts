import { expect, test } from "vitest";
import { corpus } from "./corpus/all.ts";
import { judge } from "./oracle.ts";
import { MAX_SIZE, TENANT } from "./record.ts";

test("names of cases are their own", () => {
  const names = corpus.map(({ name }) => name);
  expect(names.filter((name, n) => names.indexOf(name) !== n)).toEqual([]);
});

// The oracle judges what nobody stated a fate for: it is held against the cases where somebody did.
test("the oracle says of every case what the case says", () => {
  const wrong = corpus.flatMap(({ name, fate, loose = fate, make }) => {
    const record = make("case");
    const strict = judge(record, { profile: "AuditEvent", tenant: undefined, maxSize: MAX_SIZE });
    const relaxed = judge(record, { profile: "CloudEvent", tenant: TENANT, maxSize: MAX_SIZE });
    const isRight = (faults: ReadonlySet<string>, said: string) =>
      said === "Stored" ? faults.size === 0 : faults.has(said);
    return [
      ...(isRight(strict.faults, fate) ? [] : [`${name}: ${fate}, not ${[...strict.faults].join(" ")}`]),
      ...(isRight(relaxed.faults, loose) ? [] : [`${name}, loosely: ${loose}, not ${[...relaxed.faults].join(" ")}`]),
    ];
  });
  expect(wrong).toEqual([]);
  expect(corpus.length).toBeGreaterThan(1_000);
});
