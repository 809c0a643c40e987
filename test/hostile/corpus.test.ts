import { expect, test } from "vitest";
import { decode } from "../../sink/codec.ts";
import { corpus } from "./corpus/all.ts";
import { judge } from "./oracle.ts";
import { MAX_SIZE, TENANT } from "./record.ts";

test("names of cases are their own", () => {
  const names = corpus.map(({ name }) => name);
  expect(names.filter((name, n) => names.indexOf(name) !== n)).toEqual([]);
});

const strict = { profile: "AuditEvent", tenant: undefined, maxSize: MAX_SIZE } as const;
const relaxed = { profile: "CloudEvent", tenant: TENANT, maxSize: MAX_SIZE } as const;

// The same is seen through Kafka and PostgreSQL by hostile.test.ts; here within seconds.
test("the codec says of every case what the case says", () => {
  const wrong = corpus.flatMap(({ name, fate, loose = fate, make }) => {
    const { value, headers } = make("case");
    const encoded = headers.map(([header, text]) => [Buffer.from(header), text] as const);
    const record = { offset: 0n, timestamp: 0n, appendTime: true, key: null, value, headers: encoded };
    return (
      [
        [strict, fate],
        [relaxed, loose],
      ] as const
    ).flatMap(([rules, said]) => {
      const decoded = decode(record, rules);
      const found = decoded.kind === "Event" ? "Stored" : `${decoded.rejection.class}/${decoded.rejection.reason}`;
      return found === said ? [] : [`${name}, ${rules.profile}: ${found}, not ${said}`];
    });
  });
  expect(wrong).toEqual([]);
});

// The oracle judges what nobody stated a fate for: it is held against the cases where somebody did.
test("the oracle says of every case what the case says", () => {
  const wrong = corpus.flatMap(({ name, fate, loose = fate, make }) => {
    const record = make("case");
    const [{ faults: strictly }, { faults: loosely }] = [judge(record, strict), judge(record, relaxed)];
    const isRight = (faults: ReadonlySet<string>, said: string) =>
      said === "Stored" ? faults.size === 0 : faults.has(said);
    return [
      ...(isRight(strictly, fate) ? [] : [`${name}: ${fate}, not ${[...strictly].join(" ")}`]),
      ...(isRight(loosely, loose) ? [] : [`${name}, loosely: ${loose}, not ${[...loosely].join(" ")}`]),
    ];
  });
  expect(wrong).toEqual([]);
  expect(corpus.length).toBeGreaterThan(1_000);
});
