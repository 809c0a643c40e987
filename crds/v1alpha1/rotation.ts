import { z } from "zod";
import { withRules } from "../rules.ts";
import { duration, parseDurationMs } from "./shared.ts";

/** When logins of some kind are replaced. */
export const rotation = (whose: string) =>
  withRules(
    z.strictObject({
      interval: duration("1m", "87600h")
        .optional()
        .describe("Age at which a login is replaced. Default never; applied live. Example: 2160h."),
      overlap: duration("1s", "720h")
        .default("24h")
        .describe("How long the login before stays good after a new one is in its Secret. Default 24h; applied live."),
    }),
    {
      kind: "Value",
      // The API server holds `default: {}` against this rule before it fills in what is inside.
      cel: "!has(self.interval) || !has(self.overlap) || duration(self.overlap) < duration(self.interval)",
      message: "overlap must be shorter than interval: only two logins are good at a time",
      field: "overlap",
      holds: ({ interval, overlap }) => interval === undefined || parseDurationMs(overlap) < parseDurationMs(interval),
    },
  )
    .prefault({})
    .describe(`Replacement of ${whose}. Default only on the annotation auditpipeline.io/rotate-at; applied live.`);
