import { z } from "zod";
import { duration } from "./shared.ts";

export const deletion = z.strictObject({
  drain: z
    .boolean()
    .default(true)
    .describe(
      "Whether a deletion first waits, up to timeout, until running sinks have stored what the topic holds. Default true; applied at deletion.",
    ),
  timeout: duration("1s", "168h")
    .default("10m")
    .describe(
      "Longest wait for the drain, and for a back-end that does not answer, counted from the deletion. Default 10m; applied at deletion.",
    ),
  onUnreachable: z
    .enum(["Block", "Orphan"])
    .default("Block")
    .describe(
      "What happens after timeout to what lies on a back-end that does not answer: Block waits on, Orphan leaves it behind and notes it in the receipt. Default Block; applied at deletion.",
    ),
});
