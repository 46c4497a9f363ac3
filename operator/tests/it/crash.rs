//! Killed between any two effects and started again: always the same end.

use serde_json::json;
use ticket_crds::{ConditionType, Phase};

use crate::world::{World, is};

/// More effects than setting up or putting away an Event has; the loops end before.
const EFFECTS_MAX: usize = 40;

#[tokio::test]
async fn an_operator_that_is_killed_anywhere_continues_where_it_stood() {
    let world = World::new().await;
    let mut kills = 0;
    for effects in 0..EFFECTS_MAX {
        let name = format!("crash-{effects}");
        world.create(world.event(&name)).await;
        let is_ready = async || {
            let event = world.get(&name).await.unwrap();
            let status = event.status.unwrap_or_default();
            is(&status, ConditionType::Ready) == Some("True")
        };
        let was_killed = world.run_and_kill(effects, is_ready).await;
        let operator = world.start();
        let status = world.ready(&name, Phase::OnSale).await;
        operator.stop().await;
        world.assert_complete(&name, &status).await;
        if !was_killed {
            break;
        }
        kills += 1;
        assert!(kills < EFFECTS_MAX, "it never got through");
        // The next operator shall meet one event only, so that its effects are counted right.
        world.delete_unmanaged(&name).await;
    }
    // Finalizer, claim, status, six steps, status.
    assert!(kills >= 9, "{kills}");
}

#[tokio::test]
async fn an_operator_that_is_killed_while_it_deletes_deletes_the_rest() {
    let world = World::new().await;
    let mut kills = 0;
    for effects in 0..EFFECTS_MAX {
        let name = format!("crash-{effects}");
        let mut event = world.event(&name);
        event["spec"]["deletionPolicy"] = json!("Delete");
        world.create(event).await;
        let operator = world.start();
        let status = world.ready(&name, Phase::OnSale).await;
        operator.stop().await;

        world
            .events()
            .delete(&name, &kube::api::DeleteParams::default())
            .await
            .unwrap();
        let is_gone = async || world.get(&name).await.is_none();
        let was_killed = world.run_and_kill(effects, is_gone).await;
        let operator = world.start();
        world.gone(&name).await;
        operator.stop().await;
        let id = crate::world::id(&status);
        assert_eq!(
            world
                .ledger
                .event_by_name(&world.name(&name))
                .await
                .unwrap(),
            None
        );
        assert_eq!(
            world.bus.topic(&world.topic(&name, &status)).await.unwrap(),
            None
        );
        assert_eq!(world.stock.state(id).await.unwrap(), None);
        if !was_killed {
            break;
        }
        kills += 1;
    }
    // Claim, four steps, finalizer.
    assert!((6..EFFECTS_MAX).contains(&kills), "{kills}");
}
