import { mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ReceiptItem } from "../external/receipts.ts";
import { fileReceipts } from "./receipts.ts";

const subject = { kind: "AuditPipeline", namespace: "team-a", name: "payments", uid: "u1" };
const item = (over: Partial<ReceiptItem> = {}): ReceiptItem => ({
  kind: "Topic",
  name: "team-a.payments",
  id: "t1",
  action: "Retained",
  reason: "deletionPolicy is Retain",
  at: "2026-11-23T10:00:00Z",
  ...over,
});

test("keeps what a former resource of the name left, and replaces what is told anew", async () => {
  const state = mkdtempSync(join(tmpdir(), "receipts-"));
  const receipts = fileReceipts(state);
  expect(await receipts.read(subject)).toBeUndefined();

  await receipts.add(subject, [item(), item({ kind: "Database", name: "db" })]);
  await receipts.add({ ...subject, uid: "u2" }, [item({ action: "Deleted" })]);

  const found = await fileReceipts(state).read(subject);
  expect(found?.subject.uid).toBe("u2");
  expect(found?.items.map(({ kind, action }) => [kind, action])).toEqual([
    ["Database", "Retained"],
    ["Topic", "Deleted"],
  ]);
});

test("what one deletion removed keeps its reason when the deletion goes on after a crash, and not longer", async () => {
  const receipts = fileReceipts(mkdtempSync(join(tmpdir(), "receipts-")));
  const removed = item({ action: "Deleted", reason: "deletionPolicy is Delete" });
  await receipts.add(subject, [removed]);
  await receipts.add(subject, [item({ action: "Deleted", reason: "it was not there" })]);
  expect((await receipts.read(subject))?.items).toEqual([removed]);

  const later = item({ action: "Deleted", reason: "it was not there" });
  await receipts.add({ ...subject, uid: "u2" }, [later]);
  expect((await receipts.read(subject))?.items).toEqual([later]);
});

test("lies where the contract says, readable by the owner alone", async () => {
  const state = mkdtempSync(join(tmpdir(), "receipts-"));
  await fileReceipts(state).add(subject, [item()]);
  const path = join(state, "receipts", "team-a.payments.json");
  expect(JSON.parse(readFileSync(path, "utf8")).items).toHaveLength(1);
  expect(statSync(path).mode & 0o077).toBe(0);
});

test("a topic and a pipeline of one name have receipts of their own", async () => {
  const receipts = fileReceipts(mkdtempSync(join(tmpdir(), "receipts-")));
  await receipts.add(subject, [item()]);
  expect(await receipts.read({ ...subject, kind: "AuditTopic" })).toBeUndefined();
});

test("the longest names fit in a file name, and do not meet", async () => {
  const receipts = fileReceipts(mkdtempSync(join(tmpdir(), "receipts-")));
  const longest = { kind: "AuditTopic", namespace: "n".repeat(63), name: "t".repeat(180), uid: "u1" };
  const other = { ...longest, name: `${"t".repeat(179)}u` };
  await receipts.add(longest, [item()]);
  expect(await receipts.read(other)).toBeUndefined();
  await receipts.add(other, [item({ action: "Deleted" })]);
  expect((await receipts.read(longest))?.items.map(({ action }) => action)).toEqual(["Retained"]);
  expect((await receipts.read(other))?.items.map(({ action }) => action)).toEqual(["Deleted"]);
});

test("receipts written at the same time are each whole, and no draft is left", async () => {
  const state = mkdtempSync(join(tmpdir(), "receipts-"));
  const receipts = fileReceipts(state);
  await receipts.add(subject, [item()]);
  // Two at once write drafts of their own: neither finds half of the other's.
  await Promise.all([1, 2, 3, 4].map((n) => receipts.add(subject, [item({ name: `topic-${n}` })])));
  expect((await receipts.read(subject))?.items.length).toBeGreaterThan(1);
  expect(readdirSync(join(state, "receipts"))).toEqual(["team-a.payments.json"]);
});
