"""Where data comes from: published data sets, and the user's own files. The stage `download` alone reads them."""
