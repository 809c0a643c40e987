import { type Acl, AclPermissionTypes, type Admin, ResourcePatternTypes } from "@platformatic/kafka";
import { expect, test } from "vitest";
import { kafkaPrincipals } from "./kafka-principal.ts";

const LATER = { resourceType: 9, operation: 99 } as unknown as Pick<Acl, "resourceType" | "operation">;

test("a right that only a later Kafka has a word for is taken away as it was found", async () => {
  const removed: unknown[] = [];
  const admin = { deleteAcls: async ({ filters }: { filters: unknown[] }) => void removed.push(...filters) };
  const acl = { resource: "9", name: "x", pattern: "LITERAL", operation: "99", permission: "ALLOW", host: "*" };
  await kafkaPrincipals(admin as unknown as Admin).removeAcls("sinks", [acl]);
  expect(removed).toEqual([
    {
      ...{ ...LATER, resourceName: "x", resourcePatternType: ResourcePatternTypes.LITERAL },
      ...{ principal: "User:sinks", host: "*", permissionType: AclPermissionTypes.ALLOW },
    },
  ]);
});
