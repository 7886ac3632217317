"""An org's credits: settled, held, granted, charged."""
