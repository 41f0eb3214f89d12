"""The report page: its table, figures and gallery in one HTML file. No figure is drawn here."""
