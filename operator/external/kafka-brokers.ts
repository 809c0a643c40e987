import type { Admin } from "@platformatic/kafka";
import { fromKafka } from "./kafka-errors.ts";

export interface KafkaBrokers {
  /** Ports that the brokers advertise: those a client will dial, whatever it began with. */
  ports(): Promise<readonly number[]>;
}

export function kafkaBrokers(admin: Admin): KafkaBrokers {
  return {
    async ports() {
      try {
        const { brokers } = await admin.metadata({ topics: [], autocreateTopics: false });
        return [...brokers.values()].map(({ port }) => port);
      } catch (error) {
        return fromKafka(error, "Asking which brokers there are");
      }
    },
  };
}
