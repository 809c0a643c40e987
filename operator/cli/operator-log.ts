import { type Logger, pino } from "pino";
import type { OperatorConfig } from "../config.ts";

/** To stderr, and at once, so that no message is lost when the process ends. */
export const operatorLog = ({ logLevel }: Pick<OperatorConfig, "logLevel">): Logger =>
  pino(
    {
      ...{ level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
      formatters: { level: (level) => ({ level }) },
    },
    pino.destination({ dest: 2, sync: true }),
  );

export function warnOfMissingBackends({ backends: { kafka, postgres } }: OperatorConfig, log: Logger): void {
  if (kafka.length > 0 && postgres.length > 0) return;
  log.warn(
    { kafka: kafka.length, postgres: postgres.length },
    "No back-end of a kind is configured (--config): no pipeline can become Ready",
  );
}
