import { z } from "zod";
import { type Rule, withRules } from "../rules.ts";

/** Config keys that a typed field owns, or that the operator sets by itself, each with what to do instead. */
export const OWNED_CONFIG_KEYS = {
  "retention.ms": "set retention.time",
  "retention.bytes": "set retention.size",
  "compression.type": "set compressionType",
  "max.message.bytes": "set maxMessageSize",
  "min.insync.replicas": "set minInSyncReplicas",
  "message.timestamp.type": "it is always LogAppendTime",
  "cleanup.policy": "it is always delete, because compaction removes acknowledged events",
} as const;

const ownedKey = ([key, fix]: [string, string]): Rule<Record<string, string | null>> => ({
  kind: "Value",
  cel: `self.all(key, key != '${key}')`,
  message: `may not set ${key}: remove it; ${fix}`,
  holds: (self) => !Object.hasOwn(self, key),
});

// Characters as the API server counts them, not UTF-16 units.
const configValue = z
  .string()
  .refine((value) => [...value].length <= 1024, "a string of at most 1024 characters")
  .meta({ maxLength: 1024 });

export const config = withRules(
  z
    .record(z.string(), configValue.nullable())
    .refine((map) => Object.keys(map).length <= 64, "a map of at most 64 keys")
    .meta({ maxProperties: 64 }),
  ...Object.entries(OWNED_CONFIG_KEYS).map(ownedKey),
  {
    kind: "Value",
    cel: "self.all(key, size(key) >= 1 && size(key) <= 128)",
    message: "keys must have 1 to 128 characters: use Kafka's name of the setting",
    holds: (self) => Object.keys(self).every((key) => [...key].length >= 1 && [...key].length <= 128),
  },
);
