import { expect, test } from "vitest";
import { requireVersions } from "./broker-versions.ts";
import { UnsupportedBrokerError } from "./protocol.ts";

const [produce, fetch, metadata] = [0, 1, 3] as const;
const broker = (max: Record<number, number>) => (key: number) => {
  const version = max[key];
  return version === undefined ? undefined : { min: 0, max: version };
};

test("takes Kafka 3.1 and refuses 3.0, by name", () => {
  requireVersions("b:9092", broker({ [produce]: 9, [fetch]: 13, [metadata]: 12 }));
  const refused = () => requireVersions("b:9092", broker({ [produce]: 9, [fetch]: 12, [metadata]: 11 }));
  expect(refused).toThrow(UnsupportedBrokerError);
  expect(refused).toThrow(
    "The Kafka broker at b:9092 speaks versions 0 to 12 of Fetch, and version 13 is needed: Kafka 3.1 or later",
  );
});

test("refuses a broker that speaks only later versions, or does not say", () => {
  expect(() => requireVersions("b:9092", () => ({ min: 14, max: 20 }))).toThrow("versions 14 to 20 of Metadata");
  expect(() => requireVersions("b:9092", () => undefined)).toThrow("does not say that it speaks Metadata");
});
