//! Who sees what, on real API servers and at two replicas: what is not exported has no name, no endpoint and no way through a gateway.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::lookup::{A, Reply};
use super::places::{CLIENTS, Scene, WEB};
use super::pod;

const CART_AT_GATEWAY: &str = "outbound_.80_._.cart.shop.svc.cluster.local";

impl Scene {
    pub(super) async fn what_is_not_exported_is_not_there(&self) {
        let mesh = &self.three.mesh;
        let cart = self.address("cart").await;
        let web = self.web().await;
        self.is_shown(cart, true).await;

        // A default of the Namespace in one member, which counts for its endpoints of `web` too; a Service says otherwise.
        let shop = |annotations: Value| {
            let metadata = json!({ "name": "shop", "annotations": annotations });
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
        };
        let export = |to: &str| json!({ "networking.istio.io/exportTo": to });
        mesh.clusters["east2"].apply(&shop(export("~"))).await;
        self.is_shown(cart, false).await;
        mesh.answered_by("client-1", web, &WEB[..4]).await;
        self.say_in_east2("cart", &export("*")).await;
        self.is_shown(cart, true).await;
        mesh.answered_by("client-1", web, &WEB[..4]).await;
        self.say_in_east2("cart", &export("other")).await;
        self.is_called(cart, false).await;
        self.say_in_east2("cart", &json!({})).await;
        mesh.clusters["east2"].apply(&shop(json!({}))).await;
        self.is_shown(cart, true).await;
        mesh.answered_by("client-1", web, &WEB).await;

        // A default of the mesh: nobody sees what says nothing.
        self.set("", "mesh: {exportTo: []}\n");
        self.is_shown(cart, false).await;
        self.say_in_east2("cart", &export("shop, elsewhere")).await;
        self.is_shown(cart, true).await;
        let hidden = mesh.get("client-1", web, "web").expect("a sidecar answers");
        assert_ne!(hidden.status, 200);
        self.say_in_east2("cart", &json!({})).await;
        self.is_shown(cart, false).await;
        self.set("", "");
        self.is_shown(cart, true).await;
        mesh.answered_by("client-1", web, &WEB).await;

        // What is local never leaves its member.
        self.set("", "mesh: {clusterLocal: [cart.shop]}\n");
        self.is_shown(cart, false).await;
        self.set("", "mesh: {clusterLocal: ['*.shop']}\n");
        mesh.answered_by("client-1", web, &WEB[..3]).await;
        self.set("", "");
        self.is_shown(cart, true).await;
        mesh.answered_by("client-1", web, &WEB).await;
    }

    /// Waits until other members can call `cart`, or nobody can: by name, by address, and through the gateway.
    async fn is_shown(&self, cart: Ipv4Addr, shown: bool) {
        self.is_called(cart, shown).await;
        let what = format!("a way to cart at the gateway: {shown}");
        let led = async || {
            let clusters = pod::admin(&self.three.mesh.pods["eastwest-1"].space, "/clusters");
            match clusters.contains(CART_AT_GATEWAY) == shown {
                true => Ok(()),
                false => Err(clusters),
            }
        };
        self.three.mesh.until(&what, led).await;
    }

    async fn is_called(&self, cart: Ipv4Addr, shown: bool) {
        let mesh = &self.three.mesh;
        for client in CLIENTS {
            let look = async || {
                let named = mesh.lookup(client, "cart.shop.global", A);
                let asked = mesh.get(client, (cart, 80), "cart.shop");
                let is_named = match &named {
                    Ok(Reply { code: 0, addresses, .. }) => *addresses == [IpAddr::from(cart)],
                    Ok(Reply { code: 3, .. }) => false,
                    _ => return Err(format!("{named:?}")),
                };
                let is_answered = asked.as_ref().is_ok_and(|answer| answer.status == 200);
                match is_named == shown && is_answered == shown {
                    true => Ok(()),
                    false => Err(format!("{named:?} {asked:?}")),
                }
            };
            mesh.until(&format!("cart to be shown to {client}: {shown}"), look)
                .await;
        }
    }
}
