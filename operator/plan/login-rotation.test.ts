import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Ledger } from "../desired/postgres-ledger.ts";
import { inForce, ledgerNames } from "../desired/postgres-names.ts";
import type { Rotation } from "../desired/rotation.ts";
import { loginsToRotate, nextRotationMs, planRetirements } from "./login-rotation.ts";
import type { ObservedLedger, ObservedRole } from "./postgres-ledger.ts";
import { ownedBy } from "./postgres-ownership.ts";

const identity = { clusterId: "c", namespace: "a", name: "p", uid: "u", sink: "s" };
const backend = { name: "default", namePrefix: "{namespace}_", maintenanceDatabase: "postgres" };
const names = ledgerNames(identity, {}, backend);
const HOUR = 3_600_000;

const issued = (atMs: number, over: Partial<ObservedRole> = {}, request?: string): ObservedRole => ({
  marker: {
    ...ownedBy(identity),
    credential: "x",
    issuedAt: new Date(atMs).toISOString(),
    ...(request === undefined ? {} : { request }),
  },
  login: true,
  settings: {},
  excess: [],
  usable: true,
  sessions: 0,
  ...over,
});
const ledger = (rotation: Rotation, over: Partial<Ledger> = {}): Ledger => ({
  names,
  identity,
  months: [],
  adoptionPolicy: "Never",
  driftPolicy: "Correct",
  credentials: { writer: "x" },
  rotation,
  ...over,
});
const seen = (writer: ObservedRole | undefined, otherWriter?: ObservedRole): ObservedLedger => ({
  roles: { owner: undefined, reader: undefined, writer, otherWriter },
  database: undefined,
  schema: undefined,
  defaultAcl: [],
  relations: new Map(),
  indexes: new Set(),
  partitions: [],
  months: [],
});

describe("a login", () => {
  test("is replaced once it is as old as the interval, and not a millisecond earlier", () => {
    const at = (nowMs: number) => loginsToRotate(ledger({ nowMs, intervalMs: HOUR }), seen(issued(0)));
    expect(at(HOUR - 1)).toEqual([]);
    expect(at(HOUR)).toEqual(["writer"]);
  });

  test("is replaced once for every new value of the annotation, and not when it is taken away", () => {
    const at = (request: string | undefined, made: string | undefined) =>
      loginsToRotate(ledger({ nowMs: 5, request }), seen(issued(0, {}, made)));
    expect(at("a", undefined)).toEqual(["writer"]);
    expect(at("a", "a")).toEqual([]);
    expect(at("b", "a")).toEqual(["writer"]);
    expect(at(undefined, "a")).toEqual([]);
  });

  test("waits while the one before is good, and goes on with one that was left half-way", () => {
    const desired = ledger({ nowMs: 9, request: "new" });
    expect(loginsToRotate(desired, seen(issued(5), issued(1)))).toEqual([]);
    expect(loginsToRotate(desired, seen(issued(5), issued(7)))).toEqual(["writer"]);
    expect(loginsToRotate(desired, seen(issued(5), issued(1, { login: false })))).toEqual(["writer"]);
  });

  test("is good for the overlap and no longer; the second name is dropped, the first keeps its role", () => {
    const at = (nowMs: number, over: Partial<Ledger> = {}) =>
      planRetirements(ledger({ nowMs, overlapMs: HOUR }, over), seen(issued(10), issued(1)));
    expect(at(10 + HOUR - 1)).toEqual([]);
    expect(at(10 + HOUR)).toEqual([{ kind: "DropLogin", role: names.otherWriter }]);
    const swapped = { names: inForce(names, "writer", names.otherWriter) };
    expect(at(10 + HOUR, swapped)).toMatchObject([{ kind: "DisableLogin", role: names.writer }]);
  });

  test("is never dropped if it was there before us, and its marker goes on saying so", () => {
    const marker = { ...ownedBy(identity), adopted: true, issuedAt: new Date(1).toISOString() } as const;
    const taken = (otherLogin: boolean, inForceNames = names) =>
      planRetirements(
        ledger({ nowMs: 10 + HOUR, overlapMs: HOUR }, { names: inForceNames }),
        seen(issued(10), issued(1, { marker, login: otherLogin })),
      );
    for (const of of [names, inForce(names, "writer", names.otherWriter)]) {
      expect(taken(true, of)).toMatchObject([
        { kind: "DisableLogin", role: of.otherWriter, marker: { adopted: true } },
      ]);
      expect(taken(false, of)).toEqual([]);
    }
  });

  test("is never taken away while its successor has no password", () => {
    const nowMs = Number.MAX_SAFE_INTEGER;
    const desired = ledger({ nowMs, overlapMs: 0 });
    expect(planRetirements(desired, seen(undefined, issued(1)))).toEqual([]);
    expect(planRetirements(desired, seen(issued(1, { marker: ownedBy(identity) }), issued(1)))).toEqual([]);
  });

  test("falls due at the moment that is told: nothing before it, something at it", () => {
    const time = fc.integer({ min: 0, max: 100 * HOUR });
    fc.assert(
      fc.property(
        time,
        fc.option(time),
        fc.integer({ min: 1, max: HOUR }),
        fc.integer({ min: 1, max: HOUR }),
        time,
        (current, other, overlapMs, more, nowMs) => {
          const observed = seen(issued(current), other === null ? undefined : issued(other));
          const at = (ms: number) => ledger({ nowMs: ms, overlapMs, intervalMs: overlapMs + more });
          const isDue = (ms: number) =>
            loginsToRotate(at(ms), observed).length + planRetirements(at(ms), observed).length > 0;
          const next = nextRotationMs(at(nowMs), observed);
          expect(next).toBeDefined();
          if (next === undefined) return;
          expect(isDue(next)).toBe(true);
          expect(isDue(next - 1)).toBe(false);
        },
      ),
    );
  });
});
