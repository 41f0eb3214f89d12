"""The report page: its table, figures and gallery in one HTML file, from `templates/`. No figure is drawn here."""
