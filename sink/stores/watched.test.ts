import { expect, test } from "vitest";
import { type Ledger, StoreError } from "./ledger.ts";
import { storeTroubleOf } from "./trouble.ts";
import { watchedLedger } from "./watched.ts";

/** A store of which each operation does what the test says, and what is in the way after it. */
function watched() {
  let failure: StoreError | undefined;
  let seen: (string | undefined)[] = [];
  const answer = async () => {
    if (failure !== undefined) throw failure;
  };
  const ledger = watchedLedger({ open: answer, write: answer, known: answer } as unknown as Ledger, (failures) => {
    seen = failures.map((each) => storeTroubleOf(each)?.reason);
  });
  return async (operation: "open" | "write" | "known", next?: StoreError) => {
    failure = next;
    const work: Promise<unknown> = ledger[operation](undefined as never);
    await work.catch(() => undefined);
    return seen;
  };
}

const refused = new StoreError("Infrastructure", "permission denied", { code: "42501" });
const broken = new StoreError("Infrastructure", "Connection terminated", {});

test("what one operation may not do is in the way until it may, whatever else works", async () => {
  const after = watched();
  expect(await after("write", refused)).toEqual(["PostgresAuthorizationFailed"]);
  expect(await after("known")).toEqual(["PostgresAuthorizationFailed"]);
  expect(await after("write")).toEqual([]);
});

test("a connection that works is worth any other, and a write any operation", async () => {
  const after = watched();
  expect(await after("write", broken)).toEqual(["PostgresUnreachable"]);
  expect(await after("open")).toEqual([]);
  expect(await after("known", refused)).toEqual(["PostgresAuthorizationFailed"]);
  expect(await after("write")).toEqual([]);
});

test("of two connections that failed the later one counts", async () => {
  const after = watched();
  expect(await after("write", broken)).toEqual(["PostgresUnreachable"]);
  const expired = new StoreError("Infrastructure", "expired", { code: "CERT_HAS_EXPIRED" });
  expect(await after("known", expired)).toEqual(["PostgresTlsFailed"]);
  expect(await after("write", broken)).toEqual(["PostgresUnreachable"]);
});

test("what the store says of an event is in nobody's way", async () => {
  const after = watched();
  expect(await after("write", new StoreError("Poison", "too long", { code: "22001" }))).toEqual([]);
});
