"""What people look at: `live` is the dashboard, `grafana` the provisioned boards."""
