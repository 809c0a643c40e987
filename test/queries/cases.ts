import { TENANT } from "../../hack/ledger-rows.ts";
import { CHAINED_TOPIC } from "./big-ledger.ts";
import { SOURCE, TRACE } from "./known-events.ts";

/** How one query of docs/queries.sql is asked, and what must come of it. */
export interface Case {
  readonly name: string;
  readonly values: Readonly<Record<string, string | number>>;
  /** Ids of known events, newest first; undefined where the answer is no list of events. */
  readonly ids?: readonly string[];
  /** The only months of `events` that are read; undefined: the query names no time, and all may be. */
  readonly months?: readonly string[];
  /** True: the time is learnt on the way (from the id ledger), so the months are left out only while it runs. */
  readonly learnsTime?: boolean;
  /** What the tables are read by, no more and no less; "any": one is as good as another, but never a whole table. */
  readonly indexes: readonly string[] | "any";
}

/** A day at the end of a month: with what came late it reaches into the next. */
const DAY = { from: "2026-08-31 00:00+00", to: "2026-09-01 00:00+00" };
const DAY_MONTHS = ["events_2026_08", "events_2026_09"];
const CHAINED = { tenant: "payments", source: "/verify/test" };

const mallory = ["k-very-late", "k-late", "k-at-midnight", "k-clock-ahead", "k-silent", "k-before"];
const malloryThatDay = ["k-late", "k-at-midnight", "k-silent"];
const vault = ["k-very-late", "k-late", "k-at-midnight", "k-clock-ahead", "k-silent", "k-other", "k-before"];
const vaultThatDay = ["k-late", "k-at-midnight", "k-silent", "k-other"];

export const cases: readonly Case[] = [
  { name: "by-actor", values: { actor: "mallory" }, ids: mallory, indexes: ["events_actor"] },
  {
    name: "by-actor-between",
    values: { actor: "mallory", ...DAY },
    ids: malloryThatDay,
    months: DAY_MONTHS,
    indexes: ["events_actor"],
  },
  {
    // The clock that runs ahead: recorded in the month before the window.
    name: "by-actor-between",
    values: { actor: "mallory", from: "2026-09-01 00:00+00", to: "2026-09-02 00:00+00" },
    ids: ["k-clock-ahead"],
    months: DAY_MONTHS,
    indexes: ["events_actor"],
  },
  {
    // One event in sixteen is theirs: reading the window by time alone costs as little.
    name: "by-actor-between",
    values: { actor: "u_1", from: "2026-09-10 00:00+00", to: "2026-09-11 00:00+00" },
    ids: [],
    months: ["events_2026_09"],
    indexes: "any",
  },
  { name: "by-target", values: { resource: "vault-7" }, ids: vault, indexes: ["events_target"] },
  {
    name: "by-target",
    values: { resource: "vault-7", resource_type: "door" },
    ids: ["k-other"],
    indexes: ["events_target"],
  },
  {
    name: "by-target-between",
    values: { resource: "vault-7", ...DAY },
    ids: vaultThatDay,
    months: DAY_MONTHS,
    indexes: ["events_target"],
  },
  { name: "by-type", values: { type: "org.example.vault-opened" }, ids: mallory, indexes: ["events_type"] },
  { name: "by-type", values: { type: "org.example.login" }, ids: [], indexes: "any" },
  {
    name: "by-type-between",
    values: { type: "org.example.vault-opened", ...DAY },
    ids: malloryThatDay,
    months: DAY_MONTHS,
    indexes: ["events_type"],
  },
  {
    name: "by-action-outcome",
    values: { action: "open-vault", outcome: "denied" },
    ids: ["k-at-midnight"],
    indexes: ["events_action"],
  },
  {
    name: "by-action-outcome-between",
    values: { action: "open-vault", outcome: "failure", ...DAY },
    ids: ["k-late"],
    months: DAY_MONTHS,
    indexes: ["events_action"],
  },
  {
    name: "happened-between",
    values: { ...DAY },
    ids: vaultThatDay,
    months: DAY_MONTHS,
    indexes: ["events_time"],
  },
  {
    name: "happened-between",
    values: { ...DAY, late: "1 day" },
    ids: vaultThatDay.slice(1),
    months: DAY_MONTHS,
    indexes: ["events_time"],
  },
  {
    name: "recorded-between",
    values: { ...DAY },
    ids: ["k-clock-ahead", "k-silent", "k-other"],
    months: ["events_2026_08"],
    indexes: ["events_time"],
  },
  {
    name: "happened-between-recorded-ever",
    values: { from: "2026-08-31 12:00+00", to: "2026-08-31 14:00+00" },
    ids: ["k-very-late", "k-late"],
    indexes: ["events_event_time"],
  },
  {
    name: "misdated-between",
    values: { from: "2026-10-15 00:00+00", to: "2026-10-16 00:00+00" },
    ids: ["k-very-late"],
    months: ["events_2026_10"],
    indexes: ["events_time"],
  },
  { name: "by-trace", values: { trace: TRACE }, ids: ["k-at-midnight", "k-before"], indexes: ["events_trace"] },
  {
    name: "by-trace-between",
    values: { trace: TRACE, ...DAY },
    ids: ["k-at-midnight"],
    months: DAY_MONTHS,
    indexes: ["events_trace"],
  },
  { name: "refused", values: {}, ids: ["k-late", "k-at-midnight"], indexes: ["events_refused"] },
  { name: "refused-per-actor-between", values: { ...DAY }, months: DAY_MONTHS, indexes: ["events_refused"] },
  { name: "who-touched", values: { resource: "vault-7" }, indexes: ["events_target"] },
  {
    name: "who-touched-between",
    values: { resource: "vault-7", ...DAY },
    months: DAY_MONTHS,
    indexes: ["events_target"],
  },
  {
    name: "around-event",
    values: { ...CHAINED, id: "0-5", span: "1 second" },
    ids: ["0-6", "0-5", "0-4"],
    months: ["events_2026_11"],
    learnsTime: true,
    indexes: ["events_time"],
  },
  {
    // The neighbour in the chain may be in any month.
    name: "proof",
    values: { ...CHAINED, id: "0-5" },
    indexes: ["events_position", "events_time", "skipped_position"],
  },
  {
    name: "at-position",
    values: { topic: CHAINED_TOPIC, partition: 0, offset: 13 },
    indexes: ["events_position", "skipped_position"],
  },
  {
    name: "conflicts-of-id",
    values: { ...CHAINED, id: "0-2" },
    months: ["events_2026_11"],
    learnsTime: true,
    indexes: ["conflicts_id", "events_time"],
  },
  {
    name: "conflicts-of-id",
    values: { tenant: TENANT, source: SOURCE, id: "k-late" },
    months: ["events_2026_09"],
    learnsTime: true,
    indexes: ["conflicts_id", "events_time"],
  },
  {
    name: "gaps",
    values: { topic: CHAINED_TOPIC, partition: 0, first: 0, last: 27 },
    indexes: ["events_position", "skipped_position"],
  },
  { name: "dead-letters", values: {}, indexes: ["skipped_dead_lettered"] },
  { name: "dead-letters-between", values: DAY, indexes: ["skipped_dead_lettered"] },
];

/** The one that reads all of a table, since it counts all of it; `events` it does not read. */
export const COUNTS_ALL = "dispositions";
