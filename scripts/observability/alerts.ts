import type { Alert } from "./alert.ts";
import { nodeAlerts } from "./alerts-node.ts";
import { routeAlerts } from "./alerts-routes.ts";
import { trafficAlerts } from "./alerts-traffic.ts";
import { paceOf } from "./pace.ts";
import type { Pace } from "./pace.ts";

/** Every alert, by the group that its rule is in. */
export function alertGroups(pace: Pace): Readonly<Record<string, readonly Alert[]>> {
  return {
    "lychgate-traffic": trafficAlerts(pace),
    "lychgate-routes": routeAlerts(pace),
    "lychgate-node": nodeAlerts(pace),
  };
}

/** Every alert as it is committed. */
export const ALERTS: readonly Alert[] = Object.values(alertGroups(paceOf(1))).flat();
