import type { Admin } from "@platformatic/kafka";
import { WaitingError } from "../errors.ts";
import { fromKafka, hasApiId } from "./kafka-errors.ts";

export interface KafkaGroups {
  /** Gone already is success; members still there: WaitingError GroupNotEmpty. */
  delete(groupId: string): Promise<void>;
}

export function kafkaGroups(admin: Admin): KafkaGroups {
  return {
    async delete(groupId) {
      try {
        await admin.deleteGroups({ groups: [groupId] });
      } catch (error) {
        if (hasApiId(error, "GROUP_ID_NOT_FOUND")) return;
        if (hasApiId(error, "NON_EMPTY_GROUP")) {
          throw new WaitingError("GroupNotEmpty", `Group ${groupId} still has members`, { cause: error });
        }
        fromKafka(error, `Deleting group ${groupId}`);
      }
    },
  };
}
