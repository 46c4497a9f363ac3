//! Where we are: which cluster, and whether it is one where mistakes cost money.

/// Words in the name of a context, of a cluster or in the admin API's host that make it a production context. A word is what stands
/// between signs: `eu-prod-1` has one, `product-dev` has none.
pub const PRODUCTION_WORDS: [&str; 4] = ["prod", "production", "prd", "live"];

/// Where we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Context of the kubeconfig; empty without one.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Namespace for event names without one.
    pub namespace: String,
    /// Address of the admin API; empty when it is found through Kubernetes.
    pub admin_url: String,
}

impl Context {
    /// Mistakes cost money here.
    #[must_use]
    pub fn is_production(&self) -> bool {
        [&self.name, &self.cluster, &self.admin_url]
            .into_iter()
            .any(|name| has_production_word(name))
    }

    /// For people: `context (cluster)`, else the admin API.
    #[must_use]
    pub fn shown(&self) -> String {
        match (self.name.as_str(), self.cluster.as_str()) {
            ("", _) if self.admin_url.is_empty() => "no context".to_owned(),
            ("", _) => self.admin_url.clone(),
            (name, cluster) if cluster.is_empty() || cluster == name => name.to_owned(),
            (name, cluster) => format!("{name} ({cluster})"),
        }
    }
}

fn has_production_word(name: &str) -> bool {
    name.split(|letter: char| !letter.is_alphanumeric())
        .map(|word| word.trim_end_matches(|letter: char| letter.is_ascii_digit()))
        .any(|word| {
            PRODUCTION_WORDS
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &str) -> Context {
        Context {
            name: name.to_owned(),
            ..Context::default()
        }
    }

    #[test]
    fn production_is_a_word_and_not_a_part_of_one() {
        for name in [
            "prod",
            "eu-prod-1",
            "Production",
            "tickets.live",
            "gke_x_prod2",
        ] {
            assert!(context(name).is_production(), "{name}");
        }
        for name in ["", "local", "product-dev", "delivery", "staging"] {
            assert!(!context(name).is_production(), "{name}");
        }
        let url = Context {
            admin_url: "https://admin.prod.example.com".to_owned(),
            ..Context::default()
        };
        assert!(url.is_production());
        assert_eq!(url.shown(), "https://admin.prod.example.com");
    }
}
