import { brokers } from "./brokers.ts";
import { disks } from "./disks.ts";
import { failover } from "./failover.ts";
import type { Fault } from "./fault.ts";
import { logs } from "./logs.ts";
import { memory } from "./memory.ts";
import { networks } from "./networks.ts";
import { processes } from "./processes.ts";
import { rivals } from "./rivals.ts";
import { tables } from "./tables.ts";
import { topics } from "./topics.ts";
import { transactions } from "./transactions.ts";
import { unclean } from "./unclean.ts";

const all = {
  ...transactions,
  ...failover,
  ...rivals,
  ...tables,
  ...disks,
  ...networks,
  ...processes,
  ...logs,
  ...memory,
  ...topics,
  ...brokers,
  ...unclean,
};

export type FaultName = keyof typeof all;

/** Every fault by its name. */
export const faults: Readonly<Record<FaultName, Fault>> = all;

export const faultNames = Object.keys(all) as FaultName[];

/** Those that heal by themselves and do not mind what else happens: several can be under way at once. */
export const combinable: readonly FaultName[] = [
  "postgresKilled",
  "storeConnectionsCut",
  "storeIsNotHeard",
  "storeHearsNothing",
  "commitAnswerLost",
  "rebalanceStorm",
  "clockJumps",
  "eventLoopStalled",
  "filesExhausted",
];
